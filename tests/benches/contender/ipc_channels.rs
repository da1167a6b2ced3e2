//! `ipc-channel` between two processes: a channel of bytes forth and one back.

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender};
use ipcq_cli::measure::job::{How, Spin, get_each, ping, pong, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::Transport;
use serde::{Deserialize, Serialize};

use super::{Running, Setting};

/// What a process says of itself: where messages for it go, and where to tell it of the other.
#[derive(Serialize, Deserialize)]
struct Introduction {
    inbox: IpcBytesSender,
    reply: IpcSender<IpcBytesSender>,
}

/// Starts two processes, and tells each of the other.
pub(super) fn start(setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let failed = |error| Fault::system("no channel could be made", error);
    let (one, one_name) = IpcOneShotServer::<Introduction>::new().map_err(failed)?;
    let (other, other_name) = IpcOneShotServer::<Introduction>::new().map_err(failed)?;
    let control = setting.control()?;
    let crew = setting.crew(&*control, "ipc-channel", &format!("{one_name}\n{other_name}"), &[])?;
    let introduced = |server: IpcOneShotServer<Introduction>| {
        server.accept().map(|(_, came)| came).map_err(|error| Fault::failed(error.to_string()))
    };
    let (one, other) = (introduced(one)?, introduced(other)?);
    let told = other.reply.send(one.inbox).and_then(|()| one.reply.send(other.inbox));
    told.map_err(|error| Fault::failed(error.to_string()))?;
    Ok(setting.run(crew))
}

/// Does jobs over the channels that the servers at `place` tell of.
pub(crate) fn work(control: &dyn Transport, puts: bool, number: u32, place: &str) -> Result<(), Fault> {
    let (to, from) = introduce(puts, place).map_err(|error| Fault::failed(error.to_string()))?;
    serve(control, puts, |job| {
        let put = |message: &[u8]| to.send(message).map_err(|error| error.to_string());
        let get = |message: &mut Vec<u8>| receive(&from, message, job.how.is_busy());
        match (job.how, puts) {
            (How::RoundTrip(_), true) => ping(number, job, put, get),
            (How::RoundTrip(_), false) => pong(job, put, get),
            (_, true) => put_each(number, job, put),
            (_, false) => get_each(job, get),
        }
    })
}

fn introduce(
    puts: bool,
    place: &str,
) -> Result<(IpcBytesSender, IpcBytesReceiver), Box<dyn std::error::Error>> {
    let (one, other) = place.split_once('\n').ok_or("there are two servers")?;
    let server = IpcSender::connect(if puts { one } else { other }.to_owned())?;
    let (inbox, from) = ipc::bytes_channel()?;
    let (reply, replies) = ipc::channel()?;
    server.send(Introduction { inbox, reply })?;
    Ok((replies.recv()?, from))
}

fn receive(from: &IpcBytesReceiver, message: &mut Vec<u8>, busy: bool) -> Result<(), String> {
    if !busy {
        *message = from.recv().map_err(|error| error.to_string())?;
        return Ok(());
    }
    let mut spin = Spin::default();
    loop {
        match from.try_recv() {
            Ok(came) => {
                *message = came;
                return Ok(());
            }
            Err(TryRecvError::Empty) => spin.turn(),
            Err(error) => return Err(error.to_string()),
        }
    }
}
