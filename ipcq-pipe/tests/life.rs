//! Queues that end with their last holder (Q12, Q13).

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipcq_core::{CreateError, OpenError, QueueName, RemoveError, Transport, Wait};
use ipcq_pipe::{PipeTransport, Queue, QueueOptions};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pause};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// One test at a time: a child that one of them forks has all that is open, and with that the queues of the others.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory).expect("the directory of the queues").count()
}

fn name() -> QueueName {
    QueueName::new("jobs").expect("a legal name")
}

/// Leaves the files of a queue whose only holder was killed.
fn leave_a_dead_queue(transport: &PipeTransport) -> Tested {
    let ready: Queue<u8> = Queue::anonymous(transport, &QueueOptions::new())?;
    // SAFETY: the child makes a queue, says so, and sleeps until it is killed; no other thread of this process holds
    // a lock that it needs, but for the allocator's, which the C library makes usable again.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let queue = Queue::<u8>::create(transport, "jobs", &QueueOptions::new());
            let put =
                queue.and_then(|queue| queue.put(1).map(|()| queue).map_err(|_| CreateError::invalid("")));
            let _ = ready.put(u8::from(put.is_ok()));
            loop {
                pause();
            }
        }
        ForkResult::Parent { child } => {
            let made = ready.get()?;
            kill(child, Signal::SIGKILL)?;
            waitpid(child, None)?;
            assert_eq!(made, 1);
            Ok(())
        }
    }
}

#[test]
fn a_queue_whose_holder_was_killed_is_gone_and_its_name_is_free() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    leave_a_dead_queue(&transport)?;
    assert_eq!(files(directory.path()), 2);
    assert!(matches!(transport.open(&name()), Err(OpenError::Missing { .. })));
    assert_eq!(transport.list()?, []);
    let queue: Queue<u8> = Queue::create(&transport, "jobs", &QueueOptions::new())?;
    assert!(queue.is_empty()?);
    assert_eq!(files(directory.path()), 2);
    Queue::<u8>::remove(&transport, "jobs")?;
    assert_eq!(files(directory.path()), 0);
    Ok(())
}

#[test]
fn garbage_of_dead_queues_is_collected_and_the_living_stay() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let living: Queue<u8> = Queue::create(&transport, "living", &QueueOptions::new())?;
    leave_a_dead_queue(&transport)?;
    let lines = transport.collect_garbage()?;
    assert_eq!(lines, ["pipe:jobs: removed, because nobody holds it any more"]);
    assert_eq!(files(directory.path()), 2);
    assert_eq!(transport.collect_garbage()?, Vec::<String>::new());
    living.put(1)?;
    assert_eq!(Queue::<u8>::open(&transport, "living")?.get()?, 1);
    Ok(())
}

#[test]
fn removing_a_dead_queue_takes_its_files_and_says_that_there_was_none() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    leave_a_dead_queue(&transport)?;
    assert!(matches!(transport.remove(&name()), Err(RemoveError::Missing { .. })));
    assert_eq!(files(directory.path()), 0);
    Ok(())
}

#[test]
fn a_handle_of_a_queue_that_ended_is_gone() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let queue: Queue<u8> = Queue::create(&transport, "jobs", &QueueOptions::new())?;
    let address = queue.address().ok_or("a named queue has an address")?;
    drop(queue);
    assert!(matches!(address.open(), Err(OpenError::Gone { .. })));
    let _later: Queue<u8> = Queue::create(&transport, "jobs", &QueueOptions::new())?;
    assert!(matches!(address.open(), Err(OpenError::Gone { .. })));
    Ok(())
}

#[test]
fn a_pipe_that_a_killed_creator_left_is_swept() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let leave = |name: &str| {
        let path = directory.path().join(format!("{name}.{:032x}.fifo", 7));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)
    };
    leave("jobs")?;
    leave("other")?;
    let _queue: Queue<u8> = Queue::create(&transport, "jobs", &QueueOptions::new())?;
    assert_eq!(files(directory.path()), 3);
    assert_eq!(transport.collect_garbage()?, ["pipe:other: removed a pipe of it that nobody holds any more"]);
    assert_eq!(files(directory.path()), 2);
    Ok(())
}

/// Q20: who has a queue has that of its dead letters, and nobody else needs to.
#[test]
fn dead_letters_are_held_with_their_queue_and_end_with_it() -> Tested {
    let _alone = alone();
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let dead = name().of_dead_letters()?;
    let options = QueueOptions::new().acknowledged(true).max_redeliveries(0);
    let made = transport.create(&name(), &options)?;
    made.put(&[b"letter"], Wait::No)?;
    made.give_back(&made.get_delivery(&mut Vec::new(), Wait::No)?)?;
    // Whoever looks at it and goes does not end it.
    for _ in 0..2 {
        assert_eq!(transport.open(&dead)?.len()?, 1);
    }
    let opened = transport.open(&name())?;
    drop(made);
    assert_eq!(transport.open(&dead)?.len()?, 1);
    drop(opened);
    assert!(matches!(transport.open(&dead), Err(OpenError::Missing { .. })));
    assert!(matches!(transport.open(&name()), Err(OpenError::Missing { .. })));
    Ok(())
}
