//! A process that may not make large files (Q17): it is told so, and not killed. A program of its own, for the limit is
//! the process's.

use std::error::Error;

use ipcq_shm::error::{BackendError, CreateError, PutFault};
use ipcq_shm::{QueueOptions, ShmTransport, Transport, Wait};
use nix::sys::resource::{Resource, setrlimit};

fn check(error: &BackendError) {
    assert!(error.is_no_room(), "{error}");
    assert!(error.to_string().contains("ulimit -f"), "{error}");
}

#[test]
fn q17_a_limit_on_files_is_no_room() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir_in("/dev/shm")?;
    let shm = ShmTransport::in_directory(place.path());
    let options = QueueOptions::new();
    let queue = shm.create(&"jobs".parse()?, &options)?;
    let large = vec![7; 8 << 20];
    setrlimit(Resource::RLIMIT_FSIZE, 8 << 20, 16 << 20)?;
    for _ in 0..3 {
        match queue.put(&[&large], Wait::Forever) {
            Err(PutFault::Backend(error)) => check(&error),
            other => panic!("{other:?}"),
        }
        assert_eq!(queue.len()?, 0);
        // What fits goes in, also where the file has to grow for it.
        queue.put(&[&large[..1 << 20]], Wait::No)?;
        queue.get(&mut Vec::new(), Wait::No)?;
    }
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 16 << 20)?;
    match shm.create(&"more".parse()?, &options) {
        Err(CreateError::Backend(error)) => check(&error),
        other => panic!("{other:?}"),
    }
    setrlimit(Resource::RLIMIT_FSIZE, 16 << 20, 16 << 20)?;
    queue.put(&[&large], Wait::No)?;
    let mut message = Vec::new();
    queue.get(&mut message, Wait::No)?;
    assert!(message == large, "it came out changed");
    shm.remove(&"jobs".parse()?)?;
    Ok(())
}
