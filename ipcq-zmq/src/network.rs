//! Making queues that are reached over TCP, and opening them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipcq_core::os::failure::Failure;
use ipcq_core::{Channel, Identity, OpenError};

use crate::address::Address;
use crate::client::Client;
use crate::queue::ZmqChannel;
use crate::server::Control;
use crate::stream::Listener;
use crate::tcp::{self, Listen};
use crate::transport::ZmqTransport;
use crate::welcome::{self, Welcome};

impl ZmqTransport {
    /// Lets the queue that this transport makes be reached at `address` too, `HOST:PORT`, which must be one of this
    /// machine alone. With port 0 the system chooses one; [`Stat::location`](ipcq_core::Stat::location) says which.
    ///
    /// Anybody who can reach the address can put, get and close: **there is no authentication and no encryption**, and all
    /// users of this machine can reach it. That the address can be had is seen when a queue is made.
    #[must_use]
    pub fn listening(self, address: impl Into<String>) -> Self {
        Self { listen: Some(Listen { address: address.into(), publicly: false }), ..self }
    }

    /// As [`listening`](Self::listening), at an address that other machines reach, too: anybody there can put, get and
    /// close, and read what goes by.
    #[must_use]
    pub fn listening_publicly(self, address: impl Into<String>) -> Self {
        Self { listen: Some(Listen { address: address.into(), publicly: true }), ..self }
    }

    /// Opens the queue that listens at `address`, `zmq+tcp://HOST:PORT`. Its handles work as others do, but that they can
    /// neither be inherited nor travel inside messages, and that the queue is removed on its own machine.
    ///
    /// # Errors
    /// As [`Transport::open`](ipcq_core::Transport::open); `Missing` when nobody listens there.
    pub fn open_remote(address: &str) -> Result<Arc<dyn Channel>, OpenError> {
        let failed = |error| Failure::new("its host was not found", error).into_backend(address);
        let place = Address::remote(tcp::resolve(address).map_err(failed)?);
        let welcome = welcome::ask(&place).map_err(|unwelcome| unwelcome.into_open(address))?;
        if welcome.removed {
            return Err(OpenError::missing(address));
        }
        let identity = welcome.identity(None).reached_at(address);
        Ok(Arc::new(ZmqChannel::new(Client::new(identity, place, welcome, None))))
    }

    /// Reaches all queues that listen on TCP over TCP, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn over_tcp(self) -> Self {
        Self { over_tcp: true, ..self.listening("127.0.0.1:0") }
    }

    /// The socket that a new queue listens at besides, if it is to.
    pub(crate) fn listen(&self) -> Result<Option<Listener>, Failure> {
        let Some(listen) = &self.listen else { return Ok(None) };
        listen.bind().map(|tcp| Some(Listener::Tcp(tcp))).map_err(|error| listen_failure(listen, error))
    }

    /// A client of the queue at `address`.
    pub(crate) fn reach(
        &self,
        identity: Identity,
        address: Address,
        mut welcome: Welcome,
        hosted: Option<Arc<Control>>,
    ) -> Arc<Client> {
        let address = match welcome.port {
            port if self.over_tcp && port != 0 => {
                welcome.host = None;
                address.over((Ipv4Addr::LOCALHOST, port).into())
            }
            _ => address,
        };
        Client::new(identity, address, welcome, hosted)
    }
}

fn listen_failure(listen: &Listen, error: io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied if !listen.publicly => {
            "listen at 127.0.0.1, or say that it is public"
        }
        io::ErrorKind::AddrInUse => "use another port, or end the one that has it",
        _ => "use an address of this machine",
    };
    Failure::new(format!("it could not listen at {}", listen.address), error).with_advice(advice)
}
