//! Segments and pipes that hold what no queue can have put there (Q16).

mod image;
mod odd;
mod stream;

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{Batch, Channel, Limit, PutFault, QueueName, QueueOptions, Transport, Wait};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::board::board;
use super::helper::Helper;
use super::storm::Random;
use super::watchdog::stage;
use image::{Damage, Image};
pub use odd::{elsewhere, mismatch, odd_files};

/// No single operation on a damaged queue may take longer.
const LIMIT: Duration = Duration::from_secs(1);
/// How long one piece of damage may take, with all its operations.
const STUCK: Duration = Duration::from_secs(10);
/// What a process may allocate while it handles damage.
const MEMORY: u64 = 128 << 20;
/// Pieces of damage for one process.
const PIECES: usize = 1000;
const NOISE: usize = 1500;
/// The longest message of the queue: larger claims are lies.
const LONGEST: usize = 64 << 20;

fn queue_name() -> QueueName {
    QueueName::new("cell").expect("a legal name")
}

/// What the children tell their parent: which piece they are at, and how many queues still opened.
struct Progress(&'static [AtomicU64]);

/// Damages every byte of a queue's files that matters, `before` it is opened or `while` it is open; every operation
/// then succeeds or says what is wrong.
///
/// # Errors
/// The first damage that a process does not survive, or that it answers with nonsense.
pub fn hostile(transport: &dyn Transport, directory: &Path, when: &str) -> Result<String, String> {
    let image = make(transport, directory)?;
    let mut random = Random::new(when.len() as u64);
    let mut all = image.byte_damage();
    all.extend(image.word_damage(|| random.next()));
    all.extend(image.noise(NOISE, || random.next()));
    all.extend(image.holes());
    all.extend(image.stream_damage(|| random.next()));
    let progress = Progress(board(2));
    let case = Case { transport, image: &image, before: when == "before" };
    for (number, part) in all.chunks(PIECES).enumerate() {
        stage(number * PIECES, 120);
        case.in_a_child(part, &progress)?;
    }
    let opened = progress.0[1].load(Ordering::SeqCst);
    Ok(format!("hostile_{when}: pieces={} opened={opened}", all.len()))
}

/// A queue with a few messages, one of which fills several chunks, and some that were built in place.
fn make(transport: &dyn Transport, directory: &Path) -> Result<Image, String> {
    let options = QueueOptions::new().capacity(100).max_message(LONGEST).auto_close(false);
    let queue = transport.create(&queue_name(), &options).map_err(|error| error.to_string())?;
    for (len, in_place) in
        [(0, false), (10, false), (90_000, true), (70_000, true), (200_000, false), (3000, false)]
    {
        let put =
            if in_place { put_built(&*queue, len, Wait::No) } else { queue.put(&[&vec![7; len]], Wait::No) };
        put.map_err(|fault| fault.to_string())?;
    }
    queue.get(&mut Vec::new(), Wait::No).map_err(|fault| fault.to_string())?;
    let fifo = fifo_in(directory).map_err(|error| error.to_string())?;
    let file = directory.join(format!("{}.{}", queue_name(), transport.name()));
    let image = Image::read(file, fifo.as_deref()).map_err(|error| error.to_string())?;
    drop(queue);
    Ok(image)
}

fn put_built(queue: &dyn Channel, len: usize, wait: Wait) -> Result<(), PutFault> {
    let mut loan = queue.loan(len)?;
    loan.fill(7);
    queue.put_loan(&mut loan, wait)
}

fn fifo_in(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_fifo() {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

struct Case<'a> {
    transport: &'a dyn Transport,
    image: &'a Image,
    before: bool,
}

impl Case<'_> {
    fn in_a_child(&self, part: &[Damage], progress: &Progress) -> Result<(), String> {
        progress.0[0].store(0, Ordering::SeqCst);
        let child = Helper::start(|| {
            setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY).expect("a limit on memory");
            for (number, damage) in part.iter().enumerate() {
                progress.0[0].store(number as u64, Ordering::SeqCst);
                let opened = self.endure(damage).unwrap_or_else(|fault| panic!("{fault}"));
                progress.0[1].fetch_add(opened.into(), Ordering::SeqCst);
            }
        });
        let child = child.map_err(|error| error.to_string())?;
        let ended = watch_over(&child, &progress.0[0])?;
        if ended == Some(WaitStatus::Exited(child.pid(), 0)) {
            return child.forget();
        }
        let damage = &part[usize::try_from(progress.0[0].load(Ordering::SeqCst)).unwrap_or(0)];
        let what = ended.map_or_else(|| "hangs".to_owned(), |ended| format!("ended with {ended:?}"));
        Err(format!("with {damage:02x?} a process {what}"))
    }

    /// Whether the damaged queue could be opened.
    fn endure(&self, damage: &Damage) -> Result<bool, String> {
        let file = self.image.restore().map_err(|error| error.to_string())?;
        if self.before {
            self.image.apply(damage, &file).map_err(|error| error.to_string())?;
        }
        let opened = in_time("open", || self.transport.open(&queue_name()))?;
        let Ok(queue) = opened else {
            return if self.before { Ok(false) } else { Err(format!("the whole queue says {opened:?}")) };
        };
        if !self.before {
            self.image.apply(damage, &file).map_err(|error| error.to_string())?;
        }
        exercise(&*queue)?;
        drop(queue);
        Ok(true)
    }
}

/// Every operation once or twice. What it says does not matter, but that it says something in time.
fn exercise(queue: &dyn Channel) -> Result<(), String> {
    let soon = || Wait::timeout(Duration::from_millis(1));
    let mut bytes = Vec::new();
    in_time("len", || queue.len().is_ok())?;
    in_time("is_empty", || queue.is_empty().is_ok())?;
    in_time("is_full", || queue.is_full().is_ok())?;
    in_time("is_closed", || queue.is_closed().is_ok())?;
    in_time("stat", || queue.stat().is_ok())?;
    in_time("put", || queue.put(&[b"a put"], Wait::No).is_ok())?;
    for wait in [Wait::No, soon()] {
        let got = in_time("get", || queue.get(&mut bytes, wait).is_ok())?;
        if got && bytes.len() > LONGEST {
            return Err(format!("a message of {} bytes was got", bytes.len()));
        }
    }
    in_time("put", || queue.put(&[&[1; 70_000]], soon()).is_ok())?;
    in_time("put_loan", || put_built(queue, 80_000, soon()).is_ok())?;
    for wait in [Wait::No, soon()] {
        let got = in_time("get_loan", || queue.get_loan(wait))?;
        let Ok(loan) = got else { continue };
        // All of it can be read.
        if loan.len() > LONGEST
            || std::hint::black_box(loan.iter().map(|byte| u64::from(*byte)).sum::<u64>()) == u64::MAX
        {
            return Err(format!("a message of {} bytes was got in place", loan.len()));
        }
    }
    let mut batch = Batch::new();
    for _ in 0..3 {
        batch.push(b"one of a batch");
    }
    in_time("put_many", || queue.put_many(&batch, 0, Wait::No).0)?;
    in_time("get_many", || queue.get_many(&mut batch, Limit::messages(4), Wait::No).is_ok())?;
    in_time("register", || queue.register_producer().is_ok())?;
    in_time("close", || queue.close().is_ok())?;
    in_time("get", || queue.get(&mut bytes, Wait::No).is_ok())?;
    in_time("put", || queue.put(&[b"too late"], Wait::No).is_ok())?;
    Ok(())
}

fn in_time<T>(what: &str, call: impl FnOnce() -> T) -> Result<T, String> {
    let begin = Instant::now();
    let outcome = call();
    let took = begin.elapsed();
    if took > LIMIT { Err(format!("{what} took {took:?}")) } else { Ok(outcome) }
}

/// Waits for the end of `child`; nothing if it stands still.
fn watch_over(child: &Helper, at: &AtomicU64) -> Result<Option<WaitStatus>, String> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let status = waitpid(child.pid(), Some(WaitPidFlag::WNOHANG)).map_err(|error| error.to_string())?;
        if status != WaitStatus::StillAlive {
            return Ok(Some(status));
        }
        let now = at.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > STUCK {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
