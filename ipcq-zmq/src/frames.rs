//! Frames as ZMTP writes them: flags, length, content.

use crate::wire::FRAME_MAX;

/// More frames of the same message follow.
pub(crate) const MORE: u8 = 1;
/// The length has 8 bytes instead of 1.
pub(crate) const LONG: u8 = 2;
/// It is a command and not a part of a message.
pub(crate) const COMMAND: u8 = 4;

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A frame: its flags, and where its content begins and ends.
    Frame { flags: u8, start: usize, end: usize },
    /// The beginning of a frame that ends here, or of more than that; nothing is known when it is `None`.
    Partial { end: Option<usize> },
    /// What no frame that is allowed begins with.
    Illegal,
}

/// Reads the frame at the front of `bytes`. A length beyond [`FRAME_MAX`] is illegal, whatever it claims.
pub(crate) fn front(bytes: &[u8]) -> Front {
    let Some(&flags) = bytes.first() else { return Front::Partial { end: None } };
    if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
        return Front::Illegal;
    }
    let (start, len) = if flags & LONG == 0 {
        match bytes.get(1) {
            Some(&len) => (2, usize::from(len)),
            None => return Front::Partial { end: None },
        }
    } else {
        let Some(len) = bytes.get(1..9).and_then(|len| len.try_into().ok()) else {
            return Front::Partial { end: None };
        };
        match usize::try_from(u64::from_be_bytes(len)) {
            Ok(len) if len <= FRAME_MAX => (9, len),
            _ => return Front::Illegal,
        }
    };
    let end = start + len;
    if bytes.len() < end { Front::Partial { end: Some(end) } } else { Front::Frame { flags, start, end } }
}

/// Appends a frame with this content.
pub(crate) fn push(bytes: &mut Vec<u8>, flags: u8, content: &[u8]) {
    push_head(bytes, flags, content.len());
    bytes.extend_from_slice(content);
}

/// Appends what comes before `len` bytes of content.
pub(crate) fn push_head(bytes: &mut Vec<u8>, flags: u8, len: usize) {
    match u8::try_from(len) {
        Ok(len) => bytes.extend_from_slice(&[flags, len]),
        Err(_) => {
            bytes.push(flags | LONG);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of the frame at the front of `bytes`, and what comes after it.
    fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let Front::Frame { start, end, .. } = front(bytes) else { return None };
        Some((bytes.get(start..end)?, bytes.get(end..)?))
    }

    #[test]
    fn frames_come_back() {
        for len in [0, 1, 255, 256, FRAME_MAX] {
            let mut bytes = Vec::new();
            push(&mut bytes, MORE, &vec![7; len]);
            push(&mut bytes, 0, b"next");
            let (content, rest) = split_first(&bytes).unwrap_or_default();
            assert!(content == vec![7; len]);
            assert_eq!(split_first(rest), Some((b"next".as_slice(), b"".as_slice())));
            assert!(matches!(front(&bytes[..len]), Front::Partial { .. }));
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        for claim in [FRAME_MAX as u64 + 1, 8 << 30, 32 << 30, 1 << 60, 1 << 63, u64::MAX] {
            let mut bytes = vec![LONG];
            bytes.extend_from_slice(&claim.to_be_bytes());
            assert_eq!(front(&bytes), Front::Illegal, "{claim}");
        }
        assert_eq!(front(&[0x80, 0]), Front::Illegal);
        assert_eq!(front(&[MORE | COMMAND, 0]), Front::Illegal);
    }
}
