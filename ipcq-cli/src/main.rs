//! ipcq on the command line.

fn main() {}
