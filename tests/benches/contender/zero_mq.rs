//! The crate `zeromq`: PUSH and PULL over `ipc`. Each producer pushes to all consumers in turn, so that each consumer gets
//! its share.

use std::time::Duration;

use ipcq_cli::measure::job::{How, get_each, ping, pong, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::Transport;
use tokio::runtime::{Builder, Runtime};
use zeromq::{PullSocket, PushSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

use super::{Running, Setting};

/// How long a consumer may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);
/// How many threads move bytes in each process; the least with which a caller has no part in that.
const THREADS: usize = 1;

/// Starts all processes.
pub(super) fn start(setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let control = setting.control()?;
    let place = setting.directory.path().display().to_string();
    let crew = setting.crew(&*control, "zeromq", &place, &[])?;
    Ok(setting.run(crew))
}

/// Does jobs over sockets in the directory `place`.
pub(crate) fn work(
    control: &dyn Transport,
    puts: bool,
    number: u32,
    place: &str,
    consumers: u32,
) -> Result<(), Fault> {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| Fault::system("no thread could be started", error))?;
    let (mut push, mut pull) = runtime.block_on(sockets(puts, number, place, consumers))?;
    serve(control, puts, |job| {
        let put = |message: &[u8]| send(&runtime, &mut push, message);
        let get = |message: &mut Vec<u8>| receive(&runtime, &mut pull, message);
        match (job.how, puts) {
            (How::RoundTrip(_), true) => ping(number, job, put, get),
            (How::RoundTrip(_), false) => pong(job, put, get),
            (_, true) => put_each(number, job, put),
            (_, false) => get_each(job, get),
        }
    })
}

async fn sockets(
    puts: bool,
    number: u32,
    place: &str,
    consumers: u32,
) -> Result<(PushSocket, PullSocket), Fault> {
    let failed = |error: zeromq::ZmqError| Fault::failed(error.to_string());
    let (mut push, mut pull) = (PushSocket::new(), PullSocket::new());
    // Only the first producer gets anything back, from the first consumer.
    let own = format!("ipc://{place}/{}{number}", if puts { "back" } else { "forth" });
    pull.bind(&own).await.map_err(failed)?;
    let others = if puts { 0..consumers } else { 0..1 };
    for other in others {
        let other = format!("{place}/{}{other}", if puts { "forth" } else { "back" });
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !std::path::Path::new(&other).exists() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
        }
        push.connect(&format!("ipc://{other}")).await.map_err(failed)?;
    }
    Ok((push, pull))
}

fn send(runtime: &Runtime, push: &mut PushSocket, message: &[u8]) -> Result<(), String> {
    let message = ZmqMessage::from(message.to_vec());
    runtime.block_on(push.send(message)).map_err(|error| error.to_string())
}

fn receive(runtime: &Runtime, pull: &mut PullSocket, message: &mut Vec<u8>) -> Result<(), String> {
    let came = runtime.block_on(pull.recv()).map_err(|error| error.to_string())?;
    message.clear();
    came.iter().for_each(|frame| message.extend_from_slice(frame));
    Ok(())
}
