//! Messages packed into one frame: each has its length before it, 4 bytes, big-endian. They stay in this form from the
//! request that puts them to the reply that hands them out.

use std::collections::TryReserveError;

/// How many bytes a message takes beyond its own.
pub(crate) const PREFIX: usize = 4;

/// The first message, and what comes after it.
#[inline]
pub(crate) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// What comes before a message of `len` bytes, which are less than 4 GiB.
pub(crate) fn prefix(len: usize) -> [u8; PREFIX] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Appends a message given in several parts, which have less than 4 GiB together.
pub(crate) fn push(bytes: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), TryReserveError> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    bytes.try_reserve(PREFIX + len)?;
    bytes.extend_from_slice(&prefix(len));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    Ok(())
}

/// The messages in their order, up to the first place where there is none.
pub(crate) fn iter(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (message, rest) = split_first(bytes)?;
        bytes = rest;
        Some(message)
    })
}

/// How many there are, and how many bytes they have of their own; `None` if something else is there too.
pub(crate) fn count(bytes: &[u8]) -> Option<(usize, usize)> {
    let (messages, content) = iter(bytes).fold((0, 0), |(n, sum), message| (n + 1, sum + message.len()));
    (content + messages * PREFIX == bytes.len()).then_some((messages, content))
}

/// The first messages of `bytes`, up to `most` of them, with `budget` bytes of their own and `total` with all: where they end,
/// how many they are, and how many bytes they have of their own.
pub(crate) fn span(bytes: &[u8], most: usize, budget: usize, total: usize) -> (usize, usize, usize) {
    let (mut end, mut messages, mut content) = (0, 0, 0);
    for message in iter(bytes).take(most) {
        let after = end + PREFIX + message.len();
        if content + message.len() > budget || after > total {
            break;
        }
        (end, messages, content) = (after, messages + 1, content + message.len());
    }
    (end, messages, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let mut bytes = Vec::new();
        for len in [0, 1, 255, 256, 70_000] {
            let message = vec![7; len];
            assert!(push(&mut bytes, &[&message[..len / 2], &message[len / 2..]]).is_ok());
        }
        assert_eq!(iter(&bytes).map(<[u8]>::len).collect::<Vec<_>>(), [0, 1, 255, 256, 70_000]);
        assert_eq!(count(&bytes), Some((5, 70_512)));
        assert_eq!(span(&bytes, 9, 256, 1000), (4 * 3 + 256, 3, 256));
        assert_eq!(span(&bytes, 9, usize::MAX, 11), (9, 2, 1));
        assert_eq!(span(&bytes, 2, usize::MAX, usize::MAX), (9, 2, 1));
    }

    #[test]
    fn lengths_are_not_believed() {
        for claim in [1, 8, u32::MAX] {
            let mut bytes = vec![0, 0, 0, 1, 7];
            bytes.extend_from_slice(&claim.to_be_bytes());
            assert_eq!(count(&bytes), None, "{claim}");
            assert_eq!(iter(&bytes).count(), 1);
        }
        assert_eq!(count(&[0, 0, 0]), None);
    }
}
