//! ipcq over shared memory.
