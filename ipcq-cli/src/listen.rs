//! Queues that are reached at an address on the network: where one is made to listen, and how one is named.

use std::sync::Arc;

use ipcq_core::{Channel, Transport};

use crate::backend;
use crate::failure::Failure;

/// What an address begins with.
const SCHEME: &str = "zmq+tcp://";

/// Where a new queue is to listen.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Listen {
    /// Let it be reached as zmq+tcp://HOST:PORT too, by anybody who can reach that: there is no authentication and no
    /// encryption
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Allow an address that other machines reach
    #[arg(long, requires = "listen")]
    public: bool,
}

impl Listen {
    /// The same, as it is written on a command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let listen = self.listen.iter().map(|address| format!("--listen={address}"));
        listen.chain(self.public.then(|| "--public".to_owned())).collect()
    }

    /// `transport`, whose queues listen there.
    pub(crate) fn on(&self, transport: Box<dyn Transport>) -> Result<Box<dyn Transport>, Failure> {
        let Some(address) = &self.listen else { return Ok(transport) };
        if transport.name() != "zmq" {
            let name = transport.name();
            let text = format!("queues on transport {name} cannot listen at {address}; say -t zmq");
            return Err(Failure::failed(text));
        }
        Ok(backend::listening_at(address, self.public))
    }
}

/// Whether `queue` is such an address.
pub(crate) fn is_address(queue: &str) -> bool {
    queue.starts_with(SCHEME)
}

/// Opens the queue that listens at `address`.
pub(crate) fn open(address: &str) -> Result<Arc<dyn Channel>, Failure> {
    backend::open_remote(address).map_err(|error| {
        if !error.is_missing() {
            return error.into();
        }
        let place = address.trim_start_matches(SCHEME);
        Failure::failed(format!(
            "no queue listens at {address}; make one there with `ipcq create NAME -t zmq --listen {place}`"
        ))
    })
}

/// That `address` is no name to make a queue by.
pub(crate) fn no_name(address: &str) -> Failure {
    let place = address.trim_start_matches(SCHEME);
    Failure::failed(format!(
        "{address} is an address and no name; make a queue there with `ipcq create NAME -t zmq --listen {place}`"
    ))
}

/// That the queue at `address` cannot be removed from here.
pub(crate) fn no_removal(address: &str) -> Failure {
    Failure::failed(format!(
        "{address} cannot be removed over the network; use its name on the machine that it is on"
    ))
}
