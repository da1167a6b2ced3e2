//! Two references in one shared buffer: a relay that only copies messages in and out of slots, without locks, headers or
//! checks, and the same with a futex on either side.

use std::fs::File;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcq_cli::measure::job::{How, Spin, get_each, ping, pong, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::Transport;
use memmap2::MmapRaw;
use rustix::thread::futex::{Flags, wait, wake};

use super::{Running, Setting};

/// How many messages are on their way at a time.
const SLOTS: u32 = 16;
/// How far apart the words are that different processes write.
const APART: usize = 128;
/// What a lane has before its slots: how many messages were put, and how many were got.
const HEADER: usize = 2 * APART;

/// Starts two processes with a lane forth and a lane back.
pub(super) fn start(setting: Setting, kind: &str) -> Result<Box<dyn Running>, Fault> {
    let path = setting.directory.path().join("lanes");
    let made = File::create_new(&path).and_then(|file| {
        let length = u64::try_from(2 * lane_length(setting.size)).unwrap_or(u64::MAX);
        file.set_len(length)
    });
    made.map_err(|error| Fault::system("no memory could be shared", error))?;
    let place = format!("{} {}", setting.size, path.display());
    let control = setting.control()?;
    let crew = setting.crew(&*control, kind, &place, &[])?;
    Ok(setting.run(crew))
}

const fn stride(size: usize) -> usize {
    size.div_ceil(64) * 64
}

const fn lane_length(size: usize) -> usize {
    HEADER + SLOTS as usize * stride(size)
}

/// Does jobs with the lanes at `place`.
pub(crate) fn work(
    control: &dyn Transport,
    puts: bool,
    number: u32,
    place: &str,
    sleeps: bool,
) -> Result<(), Fault> {
    let (size, path) = place.split_once(' ').ok_or_else(|| Fault::failed("a lane has a size and a path"))?;
    let size = size.parse().map_err(|_| Fault::failed("a size is a number"))?;
    let file = File::options().read(true).write(true).open(path);
    let memory = file.and_then(|file| MmapRaw::map_raw(&file));
    let memory = memory.map_err(|error| Fault::system("no memory could be shared", error))?;
    if memory.len() != 2 * lane_length(size) {
        return Err(Fault::failed("the shared memory is not of the length agreed on"));
    }
    let lane = |at: usize| Lane { memory: &memory, at, size, sleeps };
    let (forth, back) = (lane(0), lane(lane_length(size)));
    serve(control, puts, |job| {
        let busy = job.how.is_busy();
        match (job.how, puts) {
            (How::RoundTrip(_), true) => {
                ping(number, job, |message| forth.put(message, busy), |message| back.get(message, busy))
            }
            (How::RoundTrip(_), false) => {
                pong(job, |message| back.put(message, busy), |message| forth.get(message, busy))
            }
            (_, true) => put_each(number, job, |message| forth.put(message, busy)),
            (_, false) => get_each(job, |message| forth.get(message, busy)),
        }
    })
}

/// One direction, for one process on each side.
struct Lane<'a> {
    memory: &'a MmapRaw,
    /// Where it begins.
    at: usize,
    size: usize,
    sleeps: bool,
}

impl Lane<'_> {
    fn word(&self, offset: usize) -> &AtomicU32 {
        let place = self.memory.as_mut_ptr().wrapping_add(self.at + offset).cast::<u32>();
        // SAFETY: `place` is within the memory, whose length was checked, and aligned, because the memory begins at a
        // page and lanes are multiples of 64 bytes long; whoever else has it uses it as an atomic.
        unsafe { AtomicU32::from_ptr(place) }
    }

    fn slot(&self, number: u32) -> *mut u8 {
        let slot = usize::try_from(number % SLOTS).unwrap_or(0);
        self.memory.as_mut_ptr().wrapping_add(self.at + HEADER + slot * stride(self.size))
    }

    fn put(&self, message: &[u8], busy: bool) -> Result<(), String> {
        let (puts, gets) = (self.word(0), self.word(APART));
        let number = puts.load(Ordering::Relaxed);
        self.until(gets, busy, |got| number.wrapping_sub(got) < SLOTS);
        if message.len() > self.size {
            return Err("a message is longer than a slot".to_owned());
        }
        // SAFETY: the slot is that long, and nobody else has it until the store below.
        unsafe { ptr::copy_nonoverlapping(message.as_ptr(), self.slot(number), message.len()) };
        puts.store(number.wrapping_add(1), Ordering::Release);
        self.wake(puts)
    }

    fn get(&self, message: &mut Vec<u8>, busy: bool) -> Result<(), String> {
        let (puts, gets) = (self.word(0), self.word(APART));
        let number = gets.load(Ordering::Relaxed);
        self.until(puts, busy, |put| put != number);
        message.resize(self.size, 0);
        // SAFETY: the slot is that long, and nobody else writes to it until the store below.
        unsafe { ptr::copy_nonoverlapping(self.slot(number), message.as_mut_ptr(), self.size) };
        gets.store(number.wrapping_add(1), Ordering::Release);
        self.wake(gets)
    }

    /// Waits until what is in `word` will do.
    fn until(&self, word: &AtomicU32, busy: bool, will_do: impl Fn(u32) -> bool) {
        let mut spin = Spin::default();
        loop {
            let value = word.load(Ordering::Acquire);
            if will_do(value) {
                return;
            }
            if self.sleeps && !busy {
                // It may have changed or been interrupted: the loop looks.
                let _ = wait(word, Flags::empty(), value, None);
            } else {
                spin.turn();
            }
        }
    }

    fn wake(&self, word: &AtomicU32) -> Result<(), String> {
        if self.sleeps {
            wake(word, Flags::empty(), 1).map_err(|errno| errno.to_string())?;
        }
        Ok(())
    }
}
