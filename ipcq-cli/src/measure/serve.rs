//! What a process of a benchmark does: it takes a job, does it, reports, and waits for the next.

use std::time::Duration;

use ipcq_core::{GetFault, Transport, Wait};
use nix::time::{ClockId, clock_gettime};

use super::job::{Job, Report};
use super::placement::Place;
use super::queues::Queues;
use super::{Fault, raw_pipe, raw_socket};

/// The numbers under which a process inherits its queues: jobs come by the first, which is its own, and reports go by
/// the second. Messages go through the third (and in a round trip back through the fourth), unless they go through
/// pipes.
const JOBS: usize = 0;
const REPORTS: usize = 1;
pub(super) const FORTH: usize = 2;
pub(super) const BACK: usize = 3;

/// What messages go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The queues that the process inherits.
    Queues,
    /// Its stdin and stdout, if they are pipes, or its stdin, if that is a socket.
    Raw,
}

/// Does the jobs of one process until there are no more: they come from a [`Crew`](super::Crew).
///
/// # Errors
/// When a queue that the process should have inherited cannot be used. What goes wrong in a job is reported instead.
///
/// # Blocking
/// Until the crew has finished.
pub fn work(transport: &dyn Transport, work: Work, puts: bool, number: u32) -> Result<(), Fault> {
    match work {
        Work::Raw => {
            let raw = if raw_socket::is_stdin() { raw_socket::run } else { raw_pipe::run };
            serve(transport, puts, |job| raw(puts, number, job))
        }
        Work::Queues => {
            let queues = Queues { forth: transport.inherited(FORTH)?, back: transport.inherited(BACK)? };
            serve(transport, puts, |job| queues.run(puts, number, job))
        }
    }
}

/// The same with a way of its own to do a job: `run` has its messages put or got.
///
/// # Errors
/// As [`work`].
///
/// # Blocking
/// As [`work`].
pub fn serve(
    transport: &dyn Transport,
    puts: bool,
    mut run: impl FnMut(Job) -> Result<Report, String>,
) -> Result<(), Fault> {
    let (jobs, reports) = (transport.inherited(JOBS)?, transport.inherited(REPORTS)?);
    let (place, mut text) = (Place::here(), Vec::new());
    loop {
        match jobs.get(&mut text, Wait::Forever) {
            Err(GetFault::Closed) => return Ok(()),
            got => got.map_err(|fault| Fault::Get { queue: jobs.identity().to_string(), fault })?,
        }
        let job: Job = serde_json::from_slice(&text).map_err(|error| Fault::failed(error.to_string()))?;
        place.settle(job.pair, puts);
        let before = processor_time();
        let report = run(job).unwrap_or_else(|fault| Report { fault: Some(fault), ..Report::default() });
        let busy = processor_time().saturating_sub(before);
        let report = Report { put: puts, messages: job.messages, busy, ..report };
        let report = serde_json::to_vec(&report).map_err(|error| Fault::failed(error.to_string()))?;
        let put = reports.put(&[&report], Wait::Forever);
        put.map_err(|fault| Fault::Put { queue: reports.identity().to_string(), fault })?;
    }
}

/// What this process has used of processors so far, in nanoseconds; 0 where nobody knows.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
