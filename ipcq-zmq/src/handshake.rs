//! The greeting and the READY command of ZMTP 3.0 with the NULL mechanism, as RFC 23 lays them out.

use crate::frames::{self, COMMAND, Front};

/// The length of a greeting.
pub(crate) const GREETING_LEN: usize = 64;
/// The longest READY command that is read.
pub(crate) const READY_MAX: usize = 1024;

/// The greeting of either side.
pub(crate) fn greeting() -> [u8; GREETING_LEN] {
    let mut bytes = [0; GREETING_LEN];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// Whether `bytes`, the beginning of a greeting, can become one that is understood.
pub(crate) fn may_be_greeting(bytes: &[u8]) -> bool {
    let at = |place: usize, good: fn(u8) -> bool| bytes.get(place).is_none_or(|&byte| good(byte));
    let mechanism = bytes.get(12..32).is_none_or(|name| name.starts_with(b"NULL\0"));
    at(0, |byte| byte == 0xff) && at(9, |byte| byte & 1 == 1) && at(10, |byte| byte >= 3) && mechanism
}

/// The READY command of a socket of this type.
pub(crate) fn ready(socket_type: &str) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", socket_type), ("Identity", "")] {
        body.push(u8::try_from(name.len()).unwrap_or_default());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    let mut bytes = Vec::new();
    frames::push(&mut bytes, COMMAND, &body);
    bytes
}

/// What the READY command at the front of `bytes` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It ends here, and the socket has this type.
    Type {
        end: usize,
        socket_type: Vec<u8>,
    },
    /// It is not all there yet.
    Partial,
    Illegal,
}

/// Reads the READY command at the front of `bytes`.
pub(crate) fn read_ready(bytes: &[u8]) -> Ready {
    match frames::front(bytes) {
        Front::Frame { flags, start, end } if flags & COMMAND != 0 && end <= READY_MAX => {
            let body = bytes.get(start..end).unwrap_or_default();
            match socket_type(body) {
                Some(name) => Ready::Type { end, socket_type: name.to_vec() },
                None => Ready::Illegal,
            }
        }
        Front::Partial { end } if end.is_none_or(|end| end <= READY_MAX) => Ready::Partial,
        _ => Ready::Illegal,
    }
}

fn socket_type(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.strip_prefix(b"\x05READY")?;
    let mut found = None;
    while let Some((&len, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(len))?;
        let (len, after) = after.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            found = Some(value);
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_command_comes_back() {
        let bytes = ready("DEALER");
        let expected = Ready::Type { end: bytes.len(), socket_type: b"DEALER".to_vec() };
        assert_eq!(read_ready(&bytes), expected);
        for len in 0..bytes.len() {
            assert_eq!(read_ready(&bytes[..len]), Ready::Partial, "{len}");
        }
    }

    #[test]
    fn lies_in_a_ready_command_are_seen() {
        let mut bytes = ready("DEALER");
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read_ready(&bytes), Ready::Illegal);
        let mut long = vec![COMMAND | frames::LONG];
        long.extend_from_slice(&(8_u64 << 30).to_be_bytes());
        assert_eq!(read_ready(&long), Ready::Illegal);
    }

    #[test]
    fn greetings_are_told_from_noise() {
        let good = greeting();
        assert!((0..=GREETING_LEN).all(|len| may_be_greeting(&good[..len])));
        assert!(!may_be_greeting(b"GET / HTTP/1.1"));
        let mut curve = good;
        curve[12..17].copy_from_slice(b"CURVE");
        assert!(!may_be_greeting(&curve));
    }
}
