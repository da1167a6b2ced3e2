//! Aeron's IPC: a stream in shared memory from one process to one other, with the C client and a media driver in a thread of
//! the measuring process. It only polls.

use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipcq_cli::measure::content::Checker;
use ipcq_cli::measure::job::{How, Job, Report, Spin, ensure, now, ping, pong, put_each};
use ipcq_cli::measure::{Crew, Fault, Measured, serve};
use ipcq_core::Transport;
use rusteron_media_driver::bindings::aeron_threading_mode_t::AERON_THREADING_MODE_SHARED;
use rusteron_media_driver::{
    Aeron, AeronCError, AeronContext, AeronDriver, AeronDriverContext, AeronExclusivePublication,
    AeronFragmentClosureAssembler, AeronSubscription, Handlers, IntoCString,
};
use tempfile::TempDir;

use super::{Running, Setting};

/// Where messages go: Aeron's own channel between processes, and its streams in either direction.
const CHANNEL: &CStr = c"aeron:ipc";
const FORTH: i32 = 1;
const BACK: i32 = 2;
/// How long a stream may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many fragments of messages one call takes at most.
const FRAGMENTS: usize = 64;

fn failed(error: impl Display) -> Fault {
    Fault::failed(format!("Aeron: {error}"))
}

/// Starts a media driver and two processes.
pub(super) fn start(setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let place = setting.directory.path().join("aeron");
    let driver = Driver::start(&place)?;
    let control = setting.control()?;
    let crew = setting.crew(&*control, "aeron", &place.to_string_lossy(), &[])?;
    Ok(Box::new(Streams { crew, driver, directory: setting.directory }))
}

/// The processes and what they need, in the order in which it goes.
struct Streams {
    crew: Crew,
    driver: Driver,
    directory: TempDir,
}

impl Running for Streams {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        self.crew.measure(job)
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        let Self { crew, driver, directory } = *self;
        let finished = crew.finish();
        drop(driver);
        drop(directory);
        finished
    }
}

/// A media driver in a thread of this process; it ends with this value.
struct Driver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts one whose files are in the directory `place`.
    fn start(place: &Path) -> Result<Self, Fault> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, started) = sync_channel(1);
        let (directory, stopped) = (place.to_string_lossy().into_owned().into_c_string(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            // Its values stay in the thread that made them.
            if let Err(error) = drive(&directory, &stopped, &sender) {
                let _ = sender.try_send(Err(error.to_string()));
            }
        });
        let driver = Self { stop, thread: Some(thread) };
        match started.recv_timeout(PATIENCE) {
            Ok(started) => started.map(|()| driver).map_err(failed),
            Err(_) => Err(failed("its media driver does not start")),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a media driver until it is `stopped`, and says when it has `started`.
fn drive(
    directory: &CString,
    stopped: &AtomicBool,
    started: &SyncSender<Result<(), String>>,
) -> Result<(), AeronCError> {
    let context = AeronDriverContext::new()?;
    context.set_dir(directory)?;
    // Nothing comes by network: one thread is enough, and leaves the processors to those that are measured.
    context.set_threading_mode(AERON_THREADING_MODE_SHARED)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    let _ = started.try_send(Ok(()));
    while !stopped.load(Ordering::Acquire) {
        driver.main_idle_strategy(driver.main_do_work()?);
    }
    Ok(())
}

/// Does jobs over the streams of the media driver in the directory `place`.
pub(crate) fn work(control: &dyn Transport, puts: bool, number: u32, place: &str) -> Result<(), Fault> {
    let mut streams = Ends::open(puts, place).map_err(failed)?;
    serve(control, puts, |job| match (job.how, puts) {
        (How::RoundTrip(_), _) => {
            let Ends { outward, inward, assembler, .. } = &mut streams;
            let put = |message: &[u8]| offer(outward, message);
            let get = |message: &mut Vec<u8>| receive(inward, assembler, message);
            if puts { ping(number, job, put, get) } else { pong(job, put, get) }
        }
        (_, true) => put_each(number, job, |message| offer(&streams.outward, message)),
        (_, false) => read_each(&mut streams, job),
    })
}

/// A process's ends of the two streams.
struct Ends {
    outward: AeronExclusivePublication,
    inward: AeronSubscription,
    assembler: AeronFragmentClosureAssembler,
    _client: Aeron,
}

impl Ends {
    fn open(puts: bool, place: &str) -> Result<Self, AeronCError> {
        let context = AeronContext::new()?;
        context.set_dir(&place.into_c_string())?;
        // What is measured is not how the kernel finds memory for a page.
        context.set_pre_touch_mapped_memory(true)?;
        let client = Aeron::new(&context)?;
        client.start()?;
        let (to, from) = if puts { (FORTH, BACK) } else { (BACK, FORTH) };
        Ok(Self {
            outward: client.add_exclusive_publication(CHANNEL, to, PATIENCE)?,
            inward: client.add_subscription(CHANNEL, from, Handlers::NONE, Handlers::NONE, PATIENCE)?,
            assembler: AeronFragmentClosureAssembler::new()?,
            _client: client,
        })
    }
}

/// Offers `message` until it is taken: before there is a subscriber, and while there is no room, it is not.
fn offer(publication: &AeronExclusivePublication, message: &[u8]) -> Result<(), String> {
    let mut spin = Spin::default();
    loop {
        match publication.offer(message) {
            Err(error) if error.is_retryable() => spin.turn(),
            outcome => return outcome.map(drop).map_err(|error| error.to_string()),
        }
    }
}

/// Gets one message; there is no other on its way.
fn receive(
    subscription: &AeronSubscription,
    assembler: &mut AeronFragmentClosureAssembler,
    message: &mut Vec<u8>,
) -> Result<(), String> {
    let mut got = (false, message);
    let mut spin = Spin::default();
    loop {
        let polled = assembler.poll(
            subscription,
            &mut got,
            |(came, message), bytes, _| {
                *came = true;
                message.clear();
                message.extend_from_slice(bytes);
            },
            FRAGMENTS,
        );
        match polled {
            Ok(_) if got.0 => return Ok(()),
            Ok(0) => spin.turn(),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Checks messages where they lie, as many in a call as are there.
fn read_each(ends: &mut Ends, job: Job) -> Result<Report, String> {
    let mut seen = Seen { checker: Checker::new(job.size), count: 0, sound: true };
    let (began, mut spin) = (now(), Spin::default());
    while seen.count < job.messages && seen.sound {
        let polled =
            ends.assembler.poll(&ends.inward, &mut seen, |seen, bytes, _| seen.take(bytes), FRAGMENTS);
        if polled.map_err(|error| error.to_string())? == 0 {
            spin.turn();
        }
    }
    ensure(seen.sound && seen.count == job.messages)?;
    Ok(Report { began, ended: now(), sum: seen.checker.sum(), ..Report::default() })
}

/// What has come so far.
struct Seen {
    checker: Checker,
    count: usize,
    sound: bool,
}

impl Seen {
    fn take(&mut self, message: &[u8]) {
        self.sound &= self.checker.check(message);
        self.count += 1;
    }
}
