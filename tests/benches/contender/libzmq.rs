//! libzmq's PUSH and PULL over `ipc`. A producer has a PUSH for each consumer and takes them in turn, so that each consumer
//! gets its share: one PUSH for all would leave out who is slow.

use ipcq_cli::measure::job::{How, Spin, get_each, ping, pong, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::Transport;
use zmq::{Context, DONTWAIT, Error, PULL, PUSH, Socket};

use super::{Running, Setting};

/// What may be on its way at either end of all connections together: as many messages, which have as many bytes.
const MOST: usize = 1000;
const MOST_BYTES: usize = 128 << 20;

/// Starts all processes.
pub(super) fn start(setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let control = setting.control()?;
    let place = format!("{} {}", setting.size, setting.directory.path().display());
    let crew = setting.crew(&*control, "libzmq", &place, &[])?;
    Ok(setting.run(crew))
}

fn failed(error: Error) -> Fault {
    Fault::failed(error.message())
}

/// Does jobs over sockets at `place`.
pub(crate) fn work(
    control: &dyn Transport,
    puts: bool,
    number: u32,
    place: &str,
    consumers: usize,
) -> Result<(), Fault> {
    let (size, directory) =
        place.split_once(' ').ok_or_else(|| Fault::failed("a socket has a size and a directory"))?;
    let size: usize = size.parse().map_err(|_| Fault::failed("a size is a number"))?;
    let most = MOST.min(MOST_BYTES / size.max(1) / (consumers * consumers).max(1)).max(1);
    let sockets = Sockets::open(puts, number, directory, consumers, most)?;
    serve(control, puts, |job| {
        let mut turn = 0;
        let put = |message: &[u8]| {
            turn += 1;
            send(&sockets.push[turn % sockets.push.len()], message)
        };
        let get = |message: &mut Vec<u8>| receive(&sockets.pull, message, job.size, job.how.is_busy());
        match (job.how, puts) {
            (How::RoundTrip(_), true) => ping(number, job, put, get),
            (How::RoundTrip(_), false) => pong(job, put, get),
            (_, true) => put_each(number, job, put),
            (_, false) => get_each(job, get),
        }
    })
}

struct Sockets {
    pull: Socket,
    /// To each consumer; a consumer's only to the first producer.
    push: Vec<Socket>,
}

impl Sockets {
    fn open(puts: bool, number: u32, directory: &str, consumers: usize, most: usize) -> Result<Self, Fault> {
        let context = Context::new();
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let pull = context.socket(PULL).map_err(failed)?;
        pull.set_rcvhwm(most).map_err(failed)?;
        let own = if puts { "back" } else { "forth" };
        pull.bind(&format!("ipc://{directory}/{own}{number}")).map_err(failed)?;
        let (theirs, others) = if puts { ("forth", 0..consumers) } else { ("back", 0..1) };
        let push = others.map(|other| {
            let push = context.socket(PUSH)?;
            push.set_sndhwm(most)?;
            // It connects once the other is there.
            push.connect(&format!("ipc://{directory}/{theirs}{other}"))?;
            Ok(push)
        });
        Ok(Self { pull, push: push.collect::<Result<_, _>>().map_err(failed)? })
    }
}

fn send(push: &Socket, message: &[u8]) -> Result<(), String> {
    loop {
        match push.send(message, 0) {
            Err(Error::EINTR) => {}
            outcome => return outcome.map_err(|error| error.message().to_owned()),
        }
    }
}

fn receive(pull: &Socket, message: &mut Vec<u8>, size: usize, busy: bool) -> Result<(), String> {
    message.resize(size, 0);
    let mut spin = Spin::default();
    loop {
        match pull.recv_into(message, if busy { DONTWAIT } else { 0 }) {
            Err(Error::EINTR) => {}
            Err(Error::EAGAIN) => spin.turn(),
            Ok(length) if length == size => return Ok(()),
            Ok(length) => return Err(format!("a message of {size} bytes arrived with {length}")),
            Err(error) => return Err(error.message().to_owned()),
        }
    }
}
