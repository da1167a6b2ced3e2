//! Sharing a queue with a child process: the descriptor of its socket's file goes over `exec`, and the child is known
//! to the broker before `spawn` returns.
#![allow(unsafe_code, reason = "what runs between fork and exec")]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use ipcq_core::os::failure::Failure;
use ipcq_core::os::inherit::{self, Inheritable, Inherited};
use ipcq_core::os::participants::Slot;
use ipcq_core::{BackendError, BackendErrorKind};
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;

use crate::NAME;
use crate::client::Client;
use crate::handshake::{self, GREETING_LEN};
use crate::welcome::first_words;
use crate::wire::{HEADER_LEN, Op, Request};

/// What a child inherits.
struct Heirloom {
    _client: Arc<Client>,
    file: OwnedFd,
}

// SAFETY: `descriptor` returns a field and `slots` a constant; neither locks or allocates.
unsafe impl Inheritable for Heirloom {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn slots(&self) -> &[Slot] {
        &[]
    }
}

/// Lets every process that `command` starts from now on inherit the queue of `client`.
pub(crate) fn share_with(command: &mut Command, client: &Arc<Client>) -> Result<(), BackendError> {
    let failed = |source| {
        Failure::new("it could not be shared with a child process", source).into_backend(client.identity())
    };
    let Some(file) = client.descriptor() else {
        let what = "a queue that is reached over TCP cannot be inherited";
        let error = client.error(BackendErrorKind::Other, what);
        return Err(error.with_advice("pass its address to the child"));
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let file = file.try_clone_to_owned().map_err(failed)?;
    let heirloom = Heirloom { _client: Arc::clone(client), file };
    inherit::share_with(command, NAME, Arc::new(heirloom), false).map_err(failed)?;
    let mut request = Request::new(Op::Expect, 1);
    request.a = u64::from(client.identity().auto_close);
    let words = first_words(request, &[]);
    let answer_len = GREETING_LEN + handshake::ready("ROUTER").len() + 2 + HEADER_LEN;
    let address = UnixAddr::new(path.as_str()).map_err(|errno| failed(errno.into()))?;
    let in_child = move || announce(&address, &words, answer_len);
    // SAFETY: between fork and exec the closure makes system calls on values made before; it takes no lock and
    // allocates nothing, and its errors are plain numbers.
    unsafe { command.pre_exec(in_child) };
    Ok(())
}

/// A copy of an inherited descriptor. The inherited one stays, for it belongs to nobody in this process; its file is
/// a name for a socket, and keeping it open costs nothing else.
pub(crate) fn copy_of(inherited: &Inherited) -> io::Result<OwnedFd> {
    // SAFETY: it is looked at for the time of this call only, and checked to be the file that the parent shared.
    let owned = ManuallyDrop::new(unsafe { inherited.take() }?);
    owned.try_clone()
}

/// Makes this process known to the broker, and waits for the answer. The descriptor closes with `exec`.
fn announce(address: &UnixAddr, words: &[u8], answer_len: usize) -> io::Result<()> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&stream, SendTimeout, &TimeVal::new(5, 0))?;
    setsockopt(&stream, ReceiveTimeout, &TimeVal::new(5, 0))?;
    connect(stream.as_raw_fd(), address)?;
    send(stream.as_raw_fd(), words, MsgFlags::MSG_NOSIGNAL)?;
    let (mut left, mut buffer) = (answer_len, [0; 256]);
    while left > 0 {
        match recv(stream.as_raw_fd(), buffer.get_mut(..left.min(256)).unwrap_or_default(), MsgFlags::empty())
        {
            Ok(0) => return Err(nix::errno::Errno::ECONNRESET.into()),
            Ok(len) => left -= len,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
