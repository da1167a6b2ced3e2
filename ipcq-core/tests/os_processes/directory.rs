//! Queue files: made, published, found, removed, listed.

use std::error::Error;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ipcq_core::QueueName;
use ipcq_core::error::BackendErrorKind;
use ipcq_core::os::directory::{FileId, Location, QueueDirectory, Removal};
use ipcq_core::os::failure::Failure;
use nix::sys::stat::Mode;

use crate::processes::{Board, Forked, Watchdog, idle};

type Tested = Result<(), Box<dyn Error>>;

fn open(path: &Path) -> Result<QueueDirectory, Failure> {
    Location::at(path).open_or_create()
}

fn publish(directory: &QueueDirectory, name: &str) -> Result<FileId, Box<dyn Error>> {
    let file = directory.create_unnamed(0o600)?;
    directory.publish(file.as_fd(), name)?;
    Ok(FileId::of(&file)?)
}

#[test]
fn a_directory_is_made_with_its_parents() -> Tested {
    let parent = tempfile::tempdir()?;
    let path = parent.path().join("a/b/c");
    assert!(Location::at(&path).open().expect_err("it is not made yet").is_missing());
    assert_eq!(open(&path)?.path(), path);
    for made in ["a", "a/b", "a/b/c"] {
        assert_eq!(fs::metadata(parent.path().join(made))?.permissions().mode() & 0o7777, 0o700, "{made}");
    }
    Ok(())
}

#[test]
fn a_chosen_directory_is_taken_as_it_is() -> Tested {
    let parent = tempfile::tempdir()?;
    let (shared, link) = (parent.path().join("shared"), parent.path().join("link"));
    fs::create_dir(&shared)?;
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o777))?;
    symlink(&shared, &link)?;
    let id = publish(&open(&link)?, "jobs.shm")?;
    assert_eq!(open(&shared)?.find("jobs.shm")?.id(), id);
    assert_eq!(fs::metadata(&shared)?.permissions().mode() & 0o777, 0o777);
    Ok(())
}

#[test]
fn a_path_through_a_file_is_refused_with_advice() -> Tested {
    let parent = tempfile::tempdir()?;
    fs::write(parent.path().join("file"), "")?;
    let failure = open(&parent.path().join("file/queues")).expect_err("there is no way through a file");
    assert!(failure.to_string().contains("set IPCQ_DIR to another one"), "{failure}");
    Ok(())
}

#[test]
fn racing_makers_of_a_directory_all_get_it() -> Tested {
    let parent = tempfile::tempdir()?;
    for round in 0..20 {
        let path = parent.path().join(format!("{round}/queues"));
        let opened = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path).is_ok())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap_or(false)).collect::<Vec<_>>()
        });
        assert_eq!(opened, [true; 4]);
    }
    Ok(())
}

#[test]
fn a_directory_may_lie_deeper_than_a_path_may_be_long() -> Tested {
    let parent = tempfile::tempdir()?;
    let component = "d".repeat(200);
    let mut path = parent.path().to_owned();
    path.extend(std::iter::repeat_n(component.as_str(), 30));
    assert!(path.as_os_str().len() > 4096);
    let directory = open(&path)?;
    let name = QueueName::new("n".repeat(QueueName::MAX_LEN))?;
    let file_name = QueueDirectory::file_name(&name, "shm");
    let id = publish(&directory, &file_name)?;
    assert_eq!(Location::at(&path).open()?.list("shm")?, [name]);
    assert_eq!(directory.unlink_if(&file_name, id)?, Removal::Removed);
    Ok(())
}

#[test]
fn a_file_appears_whole_and_a_name_is_given_once() -> Tested {
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let file = directory.create_unnamed(0o600)?;
    assert!(directory.list("shm")?.is_empty());
    assert!(directory.find("jobs.shm").expect_err("it is not published").is_missing());
    directory.publish(file.as_fd(), "jobs.shm")?;
    let found = directory.find("jobs.shm")?;
    assert_eq!(found.id(), FileId::of(&file)?);
    assert_eq!(FileId::of(found.open()?)?, found.id());
    let second = directory.create_unnamed(0o600)?;
    let taken = directory.publish(second.as_fd(), "jobs.shm").expect_err("the name is taken");
    assert!(taken.exists(), "{taken}");
    assert_eq!(directory.find("jobs.shm")?.id(), found.id());
    Ok(())
}

#[test]
fn a_killed_creator_leaves_nothing() -> Tested {
    let _watchdog = Watchdog::start("a_killed_creator_leaves_nothing");
    let (parent, board) = (tempfile::tempdir()?, Board::new(1)?);
    let directory = open(parent.path())?;
    let creator = Forked::run(|| {
        let file = directory.create_unnamed(0o600).expect("there is room");
        board.raise(0);
        std::mem::forget(file);
        idle()
    });
    board.wait_for(0);
    creator.kill();
    assert_eq!(fs::read_dir(parent.path())?.count(), 0);
    publish(&directory, "jobs.shm")?;
    Ok(())
}

#[test]
fn the_mode_is_what_was_asked_for_whatever_the_umask_says() -> Tested {
    let _watchdog = Watchdog::start("the_mode_is_what_was_asked_for_whatever_the_umask_says");
    let parent = tempfile::tempdir()?;
    let made = parent.path().join("made");
    for mode in [0o600, 0o660, 0o666] {
        let name = format!("{mode:o}.shm");
        let child = Forked::run(|| {
            nix::sys::stat::umask(Mode::from_bits_truncate(0o777));
            open(&made)
                .is_ok_and(|directory| {
                    let file = directory.create_unnamed(mode);
                    file.is_ok_and(|file| directory.publish(file.as_fd(), &name).is_ok())
                })
                .into()
        });
        assert_eq!(child.wait(), Some(1));
        assert_eq!(fs::metadata(made.join(&name))?.permissions().mode() & 0o7777, mode);
        assert_eq!(fs::metadata(&made)?.permissions().mode() & 0o7777, 0o700);
    }
    Ok(())
}

#[test]
fn only_regular_files_are_opened() -> Tested {
    let _watchdog = Watchdog::start("only_regular_files_are_opened");
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    publish(&directory, "real.shm")?;
    symlink("real.shm", parent.path().join("link.shm"))?;
    nix::unistd::mkfifo(&parent.path().join("fifo.shm"), Mode::S_IRWXU)?;
    fs::create_dir(parent.path().join("directory.shm"))?;
    for name in ["link.shm", "fifo.shm", "directory.shm"] {
        let refused = directory.find(name)?.open().expect_err("it is no regular file");
        assert_eq!(refused.kind(), BackendErrorKind::Damaged);
        assert!(refused.to_string().contains("is no regular file"), "{refused}");
    }
    Ok(())
}

#[test]
fn what_was_found_is_what_is_opened() -> Tested {
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let first = publish(&directory, "jobs.shm")?;
    let found = directory.find("jobs.shm")?;
    assert_eq!(directory.unlink_if("jobs.shm", first)?, Removal::Removed);
    let second = publish(&directory, "jobs.shm")?;
    assert_ne!(first, second, "the first is still referred to, so its number is not free");
    assert_eq!(FileId::of(found.open()?)?, first);
    Ok(())
}

#[test]
fn looking_at_a_file_keeps_the_locks_on_it() -> Tested {
    let _watchdog = Watchdog::start("looking_at_a_file_keeps_the_locks_on_it");
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let file = directory.create_unnamed(0o600)?;
    nix::unistd::ftruncate(&file, 65_536)?;
    directory.publish(file.as_fd(), "jobs.shm")?;
    let board = Board::map(file, 4)?;
    board.participants.set_producer(board.table())?;
    drop(directory.find("jobs.shm")?);
    assert_eq!(board.table().live_producers()?, 1);
    // The rule that the look-up is there for: a second descriptor, closed, ends the registration.
    drop(directory.find("jobs.shm")?.open()?);
    assert_eq!(board.table().live_producers()?, 0);
    Ok(())
}

#[test]
fn only_the_file_that_was_meant_is_removed() -> Tested {
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let first = publish(&directory, "first.shm")?;
    let second = publish(&directory, "second.shm")?;
    assert_eq!(directory.unlink_if("second.shm", first)?, Removal::Replaced);
    assert_eq!(directory.unlink_if("third.shm", first)?, Removal::Missing);
    assert_eq!(directory.unlink_if("second.shm", second)?, Removal::Removed);
    assert_eq!(directory.unlink_if("second.shm", second)?, Removal::Missing);
    assert_eq!(directory.list("shm")?, [QueueName::new("first")?]);
    Ok(())
}

#[test]
fn a_stopped_remover_does_not_keep_others_from_removing() -> Tested {
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let id = publish(&directory, "jobs.shm")?;
    let held = fs::File::open(parent.path())?;
    held.lock()?;
    assert_eq!(directory.unlink_if("jobs.shm", id)?, Removal::Removed);
    Ok(())
}

#[test]
fn the_list_has_the_queues_of_one_transport_sorted() -> Tested {
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    for name in
        ["b.shm", "a.shm", "a.b-c_D.shm", "a.pipe", "a.shm.pipe", ".shm", ".hidden.shm", "-x.shm", "shm"]
    {
        publish(&directory, name)?;
    }
    fs::create_dir(parent.path().join("directory.shm"))?;
    let names = |transport| -> Result<Vec<String>, Failure> {
        Ok(directory.list(transport)?.into_iter().map(String::from).collect())
    };
    assert_eq!(names("shm")?, ["a", "a.b-c_D", "b"]);
    assert_eq!(names("pipe")?, ["a", "a.shm"]);
    assert!(names("zmq")?.is_empty());
    Ok(())
}

#[test]
fn a_file_of_another_user_is_denied() -> Tested {
    let _watchdog = Watchdog::start("a_file_of_another_user_is_denied");
    let parent = tempfile::tempdir()?;
    fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o755))?;
    let directory = open(parent.path())?;
    publish(&directory, "jobs.shm")?;
    // For root to be refused it must be somebody else; for the others a file that is nobody's does as well.
    fs::set_permissions(parent.path().join("jobs.shm"), PermissionsExt::from_mode(0o000))?;
    let child = Forked::run(|| {
        if nix::unistd::geteuid().is_root() && nix::unistd::setuid(65_534.into()).is_err() {
            return 2;
        }
        let refused = directory.find("jobs.shm").and_then(|found| found.open());
        let cannot_make = directory.create_unnamed(0o600);
        let denied = |failure: Failure| failure.kind() == BackendErrorKind::Denied;
        let root = nix::unistd::getuid().as_raw() == 65_534;
        u8::from(refused.is_err_and(denied) && (!root || cannot_make.is_err_and(denied)))
    });
    assert_eq!(child.wait(), Some(1));
    Ok(())
}

#[test]
fn no_file_takes_the_place_of_a_standard_stream() -> Tested {
    let _watchdog = Watchdog::start("no_file_takes_the_place_of_a_standard_stream");
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    publish(&directory, "jobs.shm")?;
    let child = Forked::run(|| {
        for stream in 0..=2 {
            // SAFETY: the child uses no standard stream from here on.
            unsafe { libc::close(stream) };
        }
        let is_above = |file: Result<OwnedFd, Failure>| file.is_ok_and(|file| file.as_raw_fd() > 2);
        let found = directory.find("jobs.shm").and_then(|found| found.open());
        u8::from(is_above(directory.create_unnamed(0o600)) && is_above(found))
    });
    assert_eq!(child.wait(), Some(1));
    Ok(())
}

#[test]
fn running_out_of_descriptors_is_no_room() -> Tested {
    let _watchdog = Watchdog::start("running_out_of_descriptors_is_no_room");
    let parent = tempfile::tempdir()?;
    let directory = open(parent.path())?;
    let child = Forked::run(|| {
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limit is a valid structure that the kernel reads.
        let limited = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        let failure = directory.create_unnamed(0o600).map_err(|failure| failure.into_backend("shm:jobs"));
        u8::from(limited == 0 && failure.is_err_and(|error| error.is_no_room() && error.advice().is_some()))
    });
    assert_eq!(child.wait(), Some(1));
    publish(&directory, "jobs.shm")?;
    Ok(())
}

#[test]
fn a_file_system_without_unnamed_files_is_named() -> Tested {
    let directory = Location::at("/proc").open()?;
    let failure = directory.create_unnamed(0o600).expect_err("/proc holds no files of ours");
    // Others than root are told first that they may not write there.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(failure.kind(), BackendErrorKind::Unsupported);
        assert!(failure.to_string().contains("O_TMPFILE"), "{failure}");
        assert!(failure.to_string().contains("set IPCQ_DIR"), "{failure}");
    } else {
        assert_eq!(failure.kind(), BackendErrorKind::Denied);
    }
    Ok(())
}
