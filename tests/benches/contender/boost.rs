//! `boost::interprocess::message_queue`, in shared memory that any number of processes put into and get from.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;

use ipcq_cli::measure::job::{How, Spin, get_each, ping, pong, put_each};
use ipcq_cli::measure::{Fault, Job, Measured, serve};
use ipcq_core::Transport;

use super::{Running, Setting};

const NOTHING_THERE: isize = -2;

// What boost_queue.cpp has.
unsafe extern "C" {
    fn ipcq_boost_create(name: *const c_char, capacity: usize, size: usize) -> bool;
    fn ipcq_boost_open(name: *const c_char) -> *mut c_void;
    fn ipcq_boost_close(queue: *mut c_void);
    fn ipcq_boost_remove(name: *const c_char);
    fn ipcq_boost_put(queue: *mut c_void, message: *const c_void, length: usize) -> bool;
    fn ipcq_boost_get(queue: *mut c_void, into: *mut c_void, room: usize, waits: bool) -> isize;
}

/// Starts all processes with a queue forth and a queue back.
pub(super) fn start(setting: Setting) -> Result<Box<dyn Running>, Fault> {
    // The name of the directory, which nobody else has.
    let place = setting.directory.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = Names([name(&place, "forth")?, name(&place, "back")?]);
    for name in &names.0 {
        // SAFETY: a string that ends with a zero.
        let made = unsafe { ipcq_boost_create(name.as_ptr(), setting.capacity, setting.size.max(1)) };
        if !made {
            return Err(Fault::failed("boost's queue could not be made"));
        }
    }
    let control = setting.control()?;
    let crew = setting.crew(&*control, "boost", &place, &[])?;
    Ok(Box::new(Boost { inner: setting.run(crew), _names: names }))
}

fn name(place: &str, direction: &str) -> Result<CString, Fault> {
    CString::new(format!("{place}-{direction}")).map_err(|error| Fault::failed(error.to_string()))
}

/// The queues' names, which go with this value.
struct Names([CString; 2]);

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            // SAFETY: a string that ends with a zero.
            unsafe { ipcq_boost_remove(name.as_ptr()) };
        }
    }
}

struct Boost {
    inner: Box<dyn Running>,
    _names: Names,
}

impl Running for Boost {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        self.inner.measure(job)
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        self.inner.finish()
    }
}

/// Does jobs with the queues of `place`.
pub(crate) fn work(control: &dyn Transport, puts: bool, number: u32, place: &str) -> Result<(), Fault> {
    let (forth, back) = (Queue::open(&name(place, "forth")?)?, Queue::open(&name(place, "back")?)?);
    serve(control, puts, |job| {
        let busy = job.how.is_busy();
        match (job.how, puts) {
            (How::RoundTrip(_), true) => {
                ping(number, job, |message| forth.put(message), |message| back.get(message, job.size, busy))
            }
            (How::RoundTrip(_), false) => {
                pong(job, |message| back.put(message), |message| forth.get(message, job.size, busy))
            }
            (_, true) => put_each(number, job, |message| forth.put(message)),
            (_, false) => get_each(job, |message| forth.get(message, job.size, busy)),
        }
    })
}

/// An open queue.
struct Queue(NonNull<c_void>);

impl Queue {
    fn open(name: &CStr) -> Result<Self, Fault> {
        // SAFETY: a string that ends with a zero.
        let queue = unsafe { ipcq_boost_open(name.as_ptr()) };
        NonNull::new(queue).map(Self).ok_or_else(|| Fault::failed("boost's queue could not be opened"))
    }

    fn put(&self, message: &[u8]) -> Result<(), String> {
        // SAFETY: the queue is open, and the message as long as that.
        let put = unsafe { ipcq_boost_put(self.0.as_ptr(), message.as_ptr().cast(), message.len()) };
        put.then_some(()).ok_or_else(|| "boost's queue takes no message".to_owned())
    }

    /// Gets a message of up to `size` bytes.
    fn get(&self, message: &mut Vec<u8>, size: usize, busy: bool) -> Result<(), String> {
        // Boost asks for as much room as the queue's longest message can take.
        message.resize(size.max(1), 0);
        let mut spin = Spin::default();
        loop {
            // SAFETY: the queue is open, and there is as much room as that.
            let came =
                unsafe { ipcq_boost_get(self.0.as_ptr(), message.as_mut_ptr().cast(), message.len(), !busy) };
            if came == NOTHING_THERE {
                spin.turn();
                continue;
            }
            let length = usize::try_from(came).map_err(|_| "boost's queue gives no message".to_owned())?;
            message.truncate(length);
            return Ok(());
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more.
        unsafe { ipcq_boost_close(self.0.as_ptr()) };
    }
}
