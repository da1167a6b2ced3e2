//! What the other end of a Unix socket has not read.
#![allow(unsafe_code, reason = "the one ioctl")]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

nix::ioctl_read_bad!(siocoutq, nix::libc::TIOCOUTQ, nix::libc::c_int);

/// How much memory the kernel holds of what was written to `stream` and not read at the other end; `None` if it does not
/// say. (`SIOCOUTQ`, which has the number of `TIOCOUTQ`.)
pub(crate) fn bytes(stream: &UnixStream) -> Option<i32> {
    let mut bytes = 0;
    // SAFETY: the descriptor is open, and the kernel writes one number to where the pointer says, which lives here.
    let asked = unsafe { siocoutq(stream.as_raw_fd(), &raw mut bytes) };
    asked.ok().map(|_| bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_read_is_not_there_any_more() {
        let (mut here, mut there) = UnixStream::pair().expect("two ends");
        assert_eq!(bytes(&here), Some(0));
        here.write_all(b"some").expect("room");
        assert!(bytes(&here) > Some(0));
        let mut half = [0; 2];
        there.read_exact(&mut half).expect("two bytes");
        assert!(bytes(&here) > Some(0), "two are left");
        there.read_exact(&mut half).expect("two bytes");
        assert_eq!(bytes(&here), Some(0));
        assert!(here.take_error().expect("an answer").is_none());
    }

    /// What a broker relies on when a client is killed: what it has not read makes an error, and what it has, none.
    #[test]
    fn what_is_thrown_away_unread_makes_an_error() {
        for reads in [false, true] {
            let (mut here, mut there) = UnixStream::pair().expect("two ends");
            here.write_all(b"some").expect("room");
            if reads {
                there.read_exact(&mut [0; 4]).expect("four bytes");
            }
            drop(there);
            assert_eq!(bytes(&here), Some(0));
            let error = here.take_error().expect("an answer").map(|error| error.kind());
            assert_eq!(error, (!reads).then_some(std::io::ErrorKind::ConnectionReset));
        }
    }
}
