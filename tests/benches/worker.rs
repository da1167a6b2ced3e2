//! What the processes of the benchmark do that are this program again.

use std::path::Path;

use ipcq_cli::measure::{self, Work};
use ipcq_tests::transports::transport;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

#[cfg(feature = "aeron")]
use crate::contender::aeron;
#[cfg(has_boost)]
use crate::contender::boost;
#[cfg(feature = "iceoryx2")]
use crate::contender::iceoryx;
#[cfg(feature = "libzmq")]
use crate::contender::libzmq;
use crate::contender::{ipc_channels, lanes, lent, typed, zero_mq};

/// Does what `arguments` say until there are no more jobs.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [parent, kind, transport_name, side, number, ref rest @ ..] = arguments[..] else {
        return Err("worker PARENT KIND TRANSPORT put|get NUMBER ...".to_owned());
    };
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| errno.to_string())?;
    if getppid().to_string() != parent {
        return Err("whoever started this process has ended".to_owned());
    }
    // Queues are inherited, and need no directory.
    let control = transport(transport_name, Path::new("/nowhere")).ok_or("there is no such transport")?;
    let number: u32 = number.parse().map_err(|_| "a process has a number")?;
    let (puts, control) = (side == "put", &*control);
    let served = match (kind, rest) {
        ("queues", _) => measure::work(control, Work::Queues, puts, number),
        ("raw", _) => measure::work(control, Work::Raw, puts, number),
        ("typed", _) => typed::work(control, puts, number),
        ("in-place", _) => lent::work(control, puts, number),
        ("lanes" | "futex", [place, _]) => lanes::work(control, puts, number, place, kind == "futex"),
        ("ipc-channel", [place, _]) => ipc_channels::work(control, puts, number, place),
        #[cfg(feature = "iceoryx2")]
        ("iceoryx2" | "iceoryx2-in-place", [place, _]) => {
            iceoryx::work(control, puts, number, place, kind == "iceoryx2-in-place")
        }
        #[cfg(feature = "aeron")]
        ("aeron", [place, _]) => aeron::work(control, puts, number, place),
        #[cfg(has_boost)]
        ("boost", [place, _]) => boost::work(control, puts, number, place),
        #[cfg(feature = "libzmq")]
        ("libzmq", [place, consumers]) => {
            let consumers = consumers.parse().map_err(|_| "how many consumers there are is a number")?;
            libzmq::work(control, puts, number, place, consumers)
        }
        ("zeromq", [place, consumers]) => {
            let consumers = consumers.parse().map_err(|_| "how many consumers there are is a number")?;
            zero_mq::work(control, puts, number, place, consumers)
        }
        _ => return Err(format!("there is no worker of kind {kind}")),
    };
    served.map_err(|fault| fault.to_string())
}
