//! The files of segments that this process has open.

use ipcq_core::os::open_files::OpenFiles;

use crate::segment::Segment;

/// Each with its one descriptor.
pub(crate) static OPEN_FILES: OpenFiles<Segment> = OpenFiles::new();

/// The file of a segment.
pub(crate) type Storage = ipcq_core::os::storage::Storage<Segment>;
