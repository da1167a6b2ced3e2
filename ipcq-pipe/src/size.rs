//! How many messages a pipe takes, and how large the system lets it be.
//!
//! A pipe has a number of pages, its size. A page that was read in part is not free for writing, and neither is the
//! last one until it is empty; so of all pages but the last only full ones count, and the last holds one record at
//! least: a pipe of `p` pages takes `(p - 1) * (4096 / record) + 1` records at any time.

use std::fs;
use std::io;

use ipcq_core::os::failure::Failure;
use ipcq_core::{BackendErrorKind, Capacity, SystemLimit};
use nix::errno::Errno;

use crate::kernel::{PAGE, Pipe};
use crate::layout::MAX_CAPACITY;
use crate::record::{HEADER, LARGE, SMALL};

/// The setting that bounds one pipe.
pub(crate) const MAX_SIZE_SETTING: &str = "fs.pipe-max-size";
const MAX_SIZE: &str = "/proc/sys/fs/pipe-max-size";
const USER_PAGES: &str = "/proc/sys/fs/pipe-user-pages-soft";
const USER_PAGES_HARD: &str = "/proc/sys/fs/pipe-user-pages-hard";
/// The size that the number of pipes of a user is counted in.
const MEBIBYTE: usize = 1 << 20;

/// Pages that a pipe should have beyond those that hold its capacity, where the system allows it: so many can be
/// wasted by batches before their records are written one by one. (Seen, with 64-byte messages in batches of 64: 1 M/s
/// without spare pages and with records of 256 bytes, beside 5 M/s with both as they are.)
const SPARE_PAGES: usize = 2;

/// What was settled for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) record: usize,
    pub(crate) capacity: usize,
}

/// The largest capacity that this system allows a user who has no privileges, and who has not used up the pages for
/// pipes.
pub(crate) fn largest() -> usize {
    let size = setting(MAX_SIZE).unwrap_or(1 << 20);
    messages_in(size / PAGE, SMALL).min(MAX_CAPACITY)
}

/// What the system allows, and what that comes to.
pub(crate) fn limits() -> Vec<SystemLimit> {
    let size = setting(MAX_SIZE);
    let (soft, hard) = (setting(USER_PAGES), setting(USER_PAGES_HARD));
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let pages = |setting: Option<usize>| setting.filter(|pages| *pages > 0).map(number);
    let messages = |record| number(messages_in(size.unwrap_or(MEBIBYTE) / PAGE, record).min(MAX_CAPACITY));
    let full_pipes = soft.filter(|pages| *pages > 0).map(|pages| number(pages / (MEBIBYTE / PAGE)));
    let small = messages(SMALL);
    vec![
        SystemLimit::new("pipe-max-size", size.map(number), "bytes").with_advice(
            "for queues of more messages: sysctl fs.pipe-max-size=BYTES (as root); \
             twice as many bytes hold twice as many messages",
        ),
        SystemLimit::new("pipe-user-pages-soft", pages(soft), "pages of 4096 bytes").with_advice(
            "for more pipe queues of one user: sysctl fs.pipe-user-pages-soft=PAGES (as root); 0 is no limit",
        ),
        SystemLimit::new("pipe-user-pages-hard", pages(hard), "pages of 4096 bytes"),
        SystemLimit::new("pipes of 1 MiB for each user", full_pipes, "pipes"),
        SystemLimit::new("message inside the pipe", Some(number(LARGE - HEADER)), "bytes")
            .with_meaning(format!("at most, with a capacity of up to {}", messages(LARGE))),
        SystemLimit::new("message inside a full-size pipe", Some(number(SMALL - HEADER)), "bytes")
            .with_meaning(format!(
                "at most, with a capacity of up to {small}; longer ones lie beside the pipe"
            )),
    ]
}

/// How many records of `record` bytes fit into `pages`.
pub(crate) const fn messages_in(pages: usize, record: usize) -> usize {
    if pages == 0 { 0 } else { (pages - 1) * (PAGE / record) + 1 }
}

/// How many pages hold `messages` records of `record` bytes, at any time.
pub(crate) const fn pages_for(messages: usize, record: usize) -> usize {
    messages.saturating_sub(1).div_ceil(PAGE / record) + 1
}

/// Makes `pipe` large enough for `wanted`, which is the `capacity` that the options settled on.
pub(crate) fn settle(pipe: &Pipe, capacity: usize, wanted: Capacity) -> Result<Settled, Failure> {
    let failed = |source| Failure::new("the size of its pipe could not be set", source);
    for (record, spare) in [(LARGE, SPARE_PAGES), (LARGE, 0), (SMALL, SPARE_PAGES), (SMALL, 0)] {
        match fit(pipe, pages_for(capacity, record) + spare) {
            Ok(true) => return Ok(Settled { record, capacity }),
            Ok(false) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let most = messages_in(widen(pipe, pages_for(capacity, SMALL)).map_err(failed)?, SMALL);
    if wanted == Capacity::Max && most > 0 {
        return Ok(Settled { record: SMALL, capacity: most.min(capacity) });
    }
    Err(too_small(capacity, most))
}

/// Gives `pipe` so many pages; whether the system allows it.
fn fit(pipe: &Pipe, pages: usize) -> io::Result<bool> {
    if pipe.size()? >= pages * PAGE {
        return Ok(true);
    }
    match pipe.set_size(pages * PAGE) {
        Ok(()) => Ok(pipe.size()? >= pages * PAGE),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives `pipe` as many pages as can be had, below `pages`; returns how many it has.
fn widen(pipe: &Pipe, pages: usize) -> io::Result<usize> {
    let mut attempt = pages.next_power_of_two() / 2;
    while attempt > 1 && !fit(pipe, attempt)? {
        attempt /= 2;
    }
    Ok(pipe.size()? / PAGE)
}

fn too_small(capacity: usize, most: usize) -> Failure {
    let unknown = || "unknown".to_owned();
    let (soft, size) = (setting(USER_PAGES), setting(MAX_SIZE));
    let what = format!("a capacity of {capacity} messages cannot be had now: its pipe holds {most} at most");
    let advice = format!(
        "ask for {most} or fewer, remove pipe queues, or raise fs.pipe-user-pages-soft (now {} for all pipes of a user) \
         or fs.pipe-max-size (now {} bytes for one)",
        soft.map_or_else(unknown, of_pages),
        size.map_or_else(unknown, |size| size.to_string())
    );
    Failure::new(what, Errno::EPERM.into()).with_kind(BackendErrorKind::NoRoom).with_advice(advice)
}

/// `1 page`, `2 pages`.
pub(crate) fn of_pages(count: usize) -> String {
    if count == 1 { "1 page".to_owned() } else { format!("{count} pages") }
}

fn setting(file: &str) -> Option<usize> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_they_are_said_to() {
        for record in [SMALL, LARGE] {
            for messages in [1, 2, 31, 32, 33, 34, 64, 65, 66, 1000, 8161, 16321] {
                let pages = pages_for(messages, record);
                assert!(messages_in(pages, record) >= messages, "{messages}");
                assert!(messages_in(pages - 1, record) < messages, "{messages}");
            }
        }
        assert_eq!(messages_in(256, SMALL), 16321);
    }

    #[test]
    fn the_limits_are_those_that_creation_keeps() {
        let limits = limits();
        let value = |name: &str| limits.iter().find(|limit| limit.name == name).and_then(|limit| limit.value);
        let largest = format!("up to {};", largest());
        let said =
            limits.iter().filter_map(|limit| limit.meaning.as_ref()).any(|said| said.contains(&largest));
        assert!(said, "{limits:?}");
        assert_eq!(value("pipe-max-size"), setting(MAX_SIZE).and_then(|bytes| u64::try_from(bytes).ok()));
        assert_eq!(value("message inside the pipe"), Some(120));
    }

    /// The kernel's part of it: whatever is read in between, so many records fit, and often no more.
    #[test]
    fn a_pipe_takes_what_it_is_said_to() -> io::Result<()> {
        let pipe = Pipe::unnamed()?;
        for record in [SMALL, LARGE] {
            let most = messages_in(pipe.size()? / PAGE, record);
            let bytes = vec![7; record];
            for read in [0, 1, PAGE / record - 1, PAGE / record, most] {
                let put = |pipe: &Pipe| pipe.write(&bytes).map_or(0, |written| written / record);
                (0..read).for_each(|_| assert_eq!(put(&pipe), 1));
                let mut taken = vec![0; read * record];
                (0..most - read.min(most)).for_each(|_| assert_eq!(put(&pipe), 1));
                assert_eq!(pipe.read(&mut taken)?, taken.len());
                (0..read).for_each(|_| assert_eq!(put(&pipe), 1));
                let mut rest = vec![0; pipe.len()?];
                assert_eq!((rest.len(), pipe.read(&mut rest)?), (most * record, most * record));
            }
        }
        Ok(())
    }
}
