//! ipcq with messages that are built and read where they lie.

use ipcq_cli::measure::content::Checker;
use ipcq_cli::measure::job::{Job, Report, ensure, now, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::{Bytes, Queue, QueueOptions, Transport};

use super::{Running, Setting};

/// The number under which a process inherits the queue of the messages, after those for jobs and reports.
const FORTH: usize = 2;

type Raw = Queue<Vec<u8>, Bytes>;

/// Starts a producer and a consumer.
pub(super) fn start(name: &str, setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let transport = setting.transport(name)?;
    let queue = Raw::anonymous(&*transport, &QueueOptions::new().capacity(setting.capacity))?;
    let crew = setting.crew(&*transport, "in-place", "", &[&**queue.channel()])?;
    Ok(setting.run(crew))
}

/// Does jobs with the queue that this process inherits.
pub(crate) fn work(control: &dyn Transport, puts: bool, number: u32) -> Result<(), Fault> {
    let queue = Raw::inherited_number(control, FORTH)?;
    serve(control, puts, |job| if puts { put(&queue, number, job) } else { get(&queue, job) })
}

fn put(queue: &Raw, number: u32, job: Job) -> Result<Report, String> {
    put_each(number, job, |message| {
        // This is the one time that the message is written: the benchmark makes it elsewhere.
        let mut loan = queue.loan(message.len()).map_err(|error| error.to_string())?;
        loan.copy_from_slice(message);
        queue.put_loan(loan).map_err(|error| error.to_string())
    })
}

fn get(queue: &Raw, job: Job) -> Result<Report, String> {
    let (mut checker, began) = (Checker::new(job.size), now());
    for _ in 0..job.messages {
        let message = queue.get_loan().map_err(|error| error.to_string())?;
        ensure(message.is_in_place() && checker.check(&message))?;
    }
    Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
}
