//! Messages that carry a number and can be checked whole.

/// The message of this number: the number, and bytes that depend on it in kind and amount.
///
/// One in 64 is longer than 64 KiB, most are short.
#[must_use]
pub fn message(number: u32) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(4 + tail_len(number), number.to_le_bytes()[0] ^ 0x5a);
    bytes
}

fn tail_len(number: u32) -> usize {
    match number % 64 {
        63 => 70_000,
        32..63 => 300,
        16..32 => 21,
        _ => 0,
    }
}

/// The number of a message.
///
/// # Errors
/// When it is not what [`message`] made.
pub fn number_of(bytes: &[u8]) -> Result<u32, String> {
    let number = bytes.first_chunk().map(|first| u32::from_le_bytes(*first));
    number.filter(|&number| message(number) == bytes).ok_or_else(|| {
        let first = &bytes[..bytes.len().min(16)];
        format!("a torn message of {} bytes, which begins with {first:?}", bytes.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_its_number() {
        for number in [0, 17, 40, 63, u32::MAX] {
            assert_eq!(number_of(&message(number)), Ok(number));
        }
    }

    #[test]
    fn a_changed_message_is_noticed() {
        let mut bytes = message(127);
        bytes[50_000] ^= 1;
        assert!(number_of(&bytes).is_err());
        assert!(number_of(&message(40)[..80]).is_err());
        assert!(number_of(b"abc").is_err());
    }
}
