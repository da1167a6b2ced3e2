//! The first look at a broker, by code that believes nothing: who listens, whether it speaks this protocol, and what
//! queue it has. Only then is an address on the network handed to the ZeroMQ crate, which trusts its peer.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use ipcq_core::{BackendErrorKind, Identity, OpenError, QueueOptions};

use crate::NAME;
use crate::address::{Address, Host, PATIENCE};
use crate::frames::{self, COMMAND, Front, MORE};
use crate::handshake::{self, GREETING_LEN};
use crate::process;
use crate::wire::{
    ACKNOWLEDGED, AUTO_CLOSE, Header, NoHeader, Op, PIECE, PRODUCER, REMOVED, Request, Status, VERSION,
};

/// The longest WELCOME that is read, all that comes before it included.
const WELCOME_MAX: usize = 4096;

/// How often one who waits for a WELCOME looks whether it can come.
const LOOK: Duration = Duration::from_millis(250);

/// How often one who was hung up on asks again, and how long after.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// What a broker says of its queue and of the process that asks.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// The process that hosts the queue, if it is on this machine.
    pub(crate) host: Option<Host>,
    /// Where it listens for others, if it does; else 0.
    pub(crate) port: u16,
    pub(crate) capacity: usize,
    pub(crate) options: QueueOptions,
    pub(crate) incarnation: u128,
    pub(crate) name: String,
    pub(crate) removed: bool,
    /// Whether the process that asks is a producer already.
    pub(crate) producer: bool,
}

/// Why there was no welcome.
#[derive(Debug)]
pub(crate) enum Unwelcome {
    /// Nobody listens.
    Dead,
    /// Somebody listens and does not answer.
    Silent(io::Error),
    /// The broker has no file handle for one more connection, or whatever else it says that it lacks.
    NoRoom(String),
    /// What answers is no broker of this version.
    Mismatch {
        what: &'static str,
        found: String,
        expected: String,
    },
    Failed(io::Error),
}

impl Unwelcome {
    fn nonsense(what: &'static str) -> Self {
        Self::Mismatch { what: "protocol", found: what.to_owned(), expected: "a broker of ipcq".to_owned() }
    }
}

/// The bytes that ask for a welcome, or for `op` before a session is open.
pub(crate) fn first_words(request: Request, token: &[u8]) -> Vec<u8> {
    let mut bytes = handshake::greeting().to_vec();
    bytes.extend_from_slice(&handshake::ready("DEALER"));
    frames::push(&mut bytes, MORE, &request.header().to_bytes());
    frames::push(&mut bytes, 0, token);
    bytes
}

/// Asks whoever listens at `address` what queue it has.
pub(crate) fn ask(address: &Address) -> Result<Welcome, Unwelcome> {
    ask_within(address, PATIENCE)
}

/// The same, with less patience.
pub(crate) fn ask_within(address: &Address, patience: Duration) -> Result<Welcome, Unwelcome> {
    let end = Instant::now() + patience;
    for _ in 1..TRIES {
        match ask_once(address, end) {
            // A host that dies closes its sockets one after the other, and a broker with many strangers drops some.
            Err(Unwelcome::Silent(error)) if is_hang_up(&error) && Instant::now() < end => {
                std::thread::sleep(PAUSE);
            }
            asked => return asked,
        }
    }
    ask_once(address, end)
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn ask_once(address: &Address, end: Instant) -> Result<Welcome, Unwelcome> {
    let left = end.saturating_duration_since(Instant::now());
    let listened = address.connect(left).map_err(Unwelcome::Failed)?.ok_or(Unwelcome::Dead)?;
    let mut stream = &listened.stream;
    let look = LOOK.min(end.saturating_duration_since(Instant::now())).max(PAUSE);
    stream.set_read_timeout(look).map_err(Unwelcome::Failed)?;
    let words = first_words(Request::new(Op::Hello, 1), &[0; 16]);
    match stream.write_all(&words) {
        // It may have said why before it hung up.
        Err(error) if !is_hang_up(&error) => return Err(Unwelcome::Silent(error)),
        _ => {}
    }
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes)? {
            Some((header, contents)) => return understand(header, &contents, listened.host),
            None if bytes.len() >= WELCOME_MAX => return Err(Unwelcome::nonsense("too long")),
            None => {}
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(0) => return Err(Unwelcome::Silent(io::ErrorKind::UnexpectedEof.into())),
            Ok(len) => bytes.extend_from_slice(piece.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                go_on_waiting(listened.host.as_ref(), end, error)?;
            }
            Err(error) => return Err(Unwelcome::Silent(error)),
        }
    }
}

/// Fails if it is the end, or the `host` cannot answer however long it is given; `error` says that it has not.
fn go_on_waiting(host: Option<&Host>, end: Instant, error: io::Error) -> Result<(), Unwelcome> {
    if Instant::now() >= end || host.is_some_and(|host| process::is_stopped(host.pid)) {
        return Err(Unwelcome::Silent(error));
    }
    // It cannot even accept the connection to say so, where its program has taken the handle that was kept for that.
    match host.and_then(|host| process::handles_used_up(host.pid)) {
        Some(limit) => {
            Err(Unwelcome::NoRoom(format!("it has all the {limit} file handles that it may have")))
        }
        None => Ok(()),
    }
}

/// The contents of frames.
type Contents = Vec<Vec<u8>>;

/// The header and the frames after it, once they are all there.
fn parse(bytes: &[u8]) -> Result<Option<(Header, Contents)>, Unwelcome> {
    if !handshake::may_be_greeting(bytes) {
        return Err(Unwelcome::nonsense("not ZMTP 3"));
    }
    let (mut rest, mut contents) = (bytes.get(GREETING_LEN..).unwrap_or_default(), Vec::new());
    loop {
        match frames::front(rest) {
            Front::Illegal => return Err(Unwelcome::nonsense("not ZMTP 3")),
            Front::Partial { .. } => return Ok(None),
            Front::Frame { flags, start, end } => {
                if flags & COMMAND == 0 {
                    contents.push(rest.get(start..end).unwrap_or_default().to_vec());
                    if flags & MORE == 0 {
                        break;
                    }
                }
                rest = rest.get(end..).unwrap_or_default();
            }
        }
    }
    let header = contents.remove(0);
    match Header::parse(&header) {
        Ok(header) => Ok(Some((header, contents))),
        Err(NoHeader::Version(found)) => Err(Unwelcome::Mismatch {
            what: "version",
            found: found.to_string(),
            expected: VERSION.to_string(),
        }),
        Err(_) => Err(Unwelcome::nonsense("another protocol over ZMTP")),
    }
}

fn understand(header: Header, contents: &[Vec<u8>], host: Option<Host>) -> Result<Welcome, Unwelcome> {
    let [capacity, longest, state, piece, port] = header.fields;
    let status = Status::parse(header.code);
    if status == Some(Status::NoRoom) {
        let why = contents.first().map_or(&[][..], Vec::as_slice);
        return Err(Unwelcome::NoRoom(String::from_utf8_lossy(why).into_owned()));
    }
    let text = |at: usize| contents.get(at).map_or("", |text| str::from_utf8(text).unwrap_or_default());
    let incarnation = contents.first().and_then(|bytes| <[u8; 16]>::try_from(bytes.as_slice()).ok());
    let numbers = usize::try_from(capacity).ok().zip(usize::try_from(longest).ok());
    let (Some(incarnation), Some((capacity, longest))) = (incarnation, numbers) else {
        return Err(Unwelcome::nonsense("a WELCOME that makes no sense"));
    };
    if status != Some(Status::Welcome) || piece != PIECE as u64 || capacity == 0 {
        return Err(Unwelcome::nonsense("no WELCOME"));
    }
    let options = QueueOptions::new()
        .max_message(longest)
        .auto_close(state & AUTO_CLOSE != 0)
        .acknowledged(state & ACKNOWLEDGED != 0)
        .codec(text(1));
    let options = with_limits(options, contents.get(3).map_or(&[][..], Vec::as_slice));
    Ok(Welcome {
        host,
        port: u16::try_from(port).unwrap_or(0),
        capacity,
        options,
        incarnation: u128::from_be_bytes(incarnation),
        name: text(2).to_owned(),
        removed: state & REMOVED != 0,
        producer: state & PRODUCER != 0,
    })
}

/// The lease and the limit of redeliveries of an acknowledged queue, as a WELCOME has them.
fn with_limits(options: QueueOptions, limits: &[u8]) -> QueueOptions {
    let number = |at: usize| limits.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    let some = |at: usize| number(at).filter(|number| *number > 0);
    let lease = some(0).map(Duration::from_nanos);
    let limit = some(8).and_then(|limit| u32::try_from(limit - 1).ok());
    let options = lease.map_or_else(|| options.clone(), |lease| options.clone().lease(lease));
    limit.map_or_else(|| options.clone(), |limit| options.clone().max_redeliveries(limit))
}

impl Welcome {
    /// The identity of the queue, at the place where it was found.
    pub(crate) fn identity(&self, place: Option<(ipcq_core::QueueName, std::path::PathBuf)>) -> Identity {
        Identity::new(NAME, place, self.incarnation, self.capacity, &self.options)
    }
}

impl Unwelcome {
    /// The same of the queue called `label`, for one who opens it.
    pub(crate) fn into_open(self, label: &str) -> OpenError {
        use ipcq_core::os::failure::Failure;
        match self {
            Self::Dead => OpenError::missing(label),
            Self::Mismatch { what, found, expected } => OpenError::mismatch(label, what, found, expected),
            Self::Silent(error) => Failure::new("the process that hosts it does not answer", error)
                .with_advice("it may be stopped: let it go on, or end it")
                .into_backend(label)
                .into(),
            Self::NoRoom(why) => {
                let why = io::Error::new(io::ErrorKind::QuotaExceeded, why);
                Failure::new("the process that hosts it has no room for one more connection", why)
                    .with_kind(BackendErrorKind::NoRoom)
                    .with_advice("drop handles, or raise that process's limit (ulimit -n)")
                    .into_backend(label)
                    .into()
            }
            Self::Failed(error) => {
                Failure::new("its broker could not be reached", error).into_backend(label).into()
            }
        }
    }
}
