//! Values as people write them: sizes, durations, numbers.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipcq_core::Capacity;

pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || "a size is written 64, 4KiB or 1MiB".to_owned();
    let digits_first = text.starts_with(|first: char| first.is_ascii_digit());
    let size: ByteSize = text.parse().map_err(|_| wrong())?;
    if !digits_first || size.as_u64() == u64::MAX {
        return Err(wrong());
    }
    usize::try_from(size.as_u64()).map_err(|_| wrong())
}

/// A measurement moves dozens of messages: of 2 GiB each that takes tens of gigabytes of memory, and many minutes.
pub(super) fn bench_size(text: &str) -> Result<usize, String> {
    let huge = || "a benchmark holds many messages in memory: a size of at most 256MiB is needed".to_owned();
    size(text).and_then(|size| (size <= 256 << 20).then_some(size).ok_or_else(huge))
}

pub(super) fn capacity(text: &str) -> Result<Capacity, String> {
    match text {
        "max" => Ok(Capacity::Max),
        number => match number.parse() {
            Ok(messages) if messages > 0 => Ok(Capacity::Exactly(messages)),
            _ => Err("a capacity is a number of messages, at least 1, or max".to_owned()),
        },
    }
}

pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a whole number is needed, which is neither negative nor too large".to_owned())
}

pub(super) fn positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number is needed, at least 1".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a duration is written 500ms, 2s or 1m".to_owned())
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 3600 is needed".to_owned()),
    }
}

pub(super) fn processes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err("a number of processes from 1 to 256 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        for wrong in ["", "KiB", "-1", "1XB", "99999999999TiB", "ten", "1e3", "nan", "inf", ".5"] {
            assert!(size(wrong).is_err(), "{wrong:?} was taken for {:?}", size(wrong));
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "5", "-1s", "2 parsecs", "s"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken for {:?}", duration(wrong));
        }
    }

    #[test]
    fn a_capacity_is_a_positive_number_or_max() {
        assert_eq!(capacity("max"), Ok(Capacity::Max));
        assert_eq!(capacity("3"), Ok(Capacity::Exactly(3)));
        for wrong in ["0", "-1", "many", "1.5", "99999999999999999999999"] {
            assert!(capacity(wrong).is_err(), "{wrong:?} was taken for {:?}", capacity(wrong));
        }
    }
}
