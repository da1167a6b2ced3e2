//! The fixed part of a queue's memory: written once before the queue has a name, checked whenever it is opened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;
use super::machine;
use crate::{Identity, OpenError, QueueOptions};

/// The words of the fixed part.
pub const FIXED_WORDS: usize = 32;
/// How many of them are the backend's own.
pub const OWN_WORDS: usize = 4;

const CODEC_AT: usize = 10;
const CODEC_WORDS: usize = QueueOptions::MAX_CODEC_LEN / 8;
const OWN_AT: usize = CODEC_AT + CODEC_WORDS;
/// Where the flags are, the limit of redeliveries (plus 1; 0 for none), and the lease in nanoseconds (0 for none).
const FLAGS_AT: usize = 9;
const REDELIVERIES_AT: usize = OWN_AT + OWN_WORDS;
const LEASE_AT: usize = REDELIVERIES_AT + 1;
const AUTO_CLOSE: u64 = 1;
const ACKNOWLEDGED: u64 = 2;

/// Where in the file the word is that [`is_acknowledged`] understands, in bytes.
pub const FLAGS_OFFSET: usize = FLAGS_AT * 8;

const _: () = assert!(LEASE_AT + 1 < FIXED_WORDS);

/// Whether the fixed part with this word, not checked so far, is that of an acknowledged queue.
#[must_use]
pub const fn is_acknowledged(flags: u64) -> bool {
    flags & ACKNOWLEDGED != 0
}

/// What tells the memory of one backend's queues from all else.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The first eight bytes.
    pub magic: [u8; 8],
    /// Changes whenever two programs could misunderstand each other.
    pub version: u64,
    /// The largest capacity that there can be.
    pub max_capacity: usize,
}

/// What two programs must agree on before they trust each other's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Tells this queue from others of its name.
    pub incarnation: u128,
    /// How many messages it takes.
    pub capacity: usize,
    /// The longest of them, in bytes.
    pub max_message: usize,
    /// Whether it closes by itself.
    pub auto_close: bool,
    /// Whether its messages are to be acknowledged.
    pub acknowledged: bool,
    /// After how many redeliveries a message goes to the dead-letter queue.
    pub max_redeliveries: Option<u32>,
    /// How long a holder may keep a delivery.
    pub lease: Option<Duration>,
    /// The codec's name.
    pub codec: String,
    /// What the backend alone knows the meaning of, and checks.
    pub own: [u64; OWN_WORDS],
}

impl Fixed {
    /// The fixed part of the queue `identity`.
    #[must_use]
    pub fn of(identity: &Identity, own: [u64; OWN_WORDS]) -> Self {
        Self {
            incarnation: identity.incarnation,
            capacity: identity.capacity,
            max_message: identity.max_message,
            auto_close: identity.auto_close,
            acknowledged: identity.acknowledged,
            max_redeliveries: identity.max_redeliveries,
            lease: identity.lease,
            codec: identity.codec.clone(),
            own,
        }
    }

    /// Writes it into the memory of a queue that nobody knows of yet.
    ///
    /// # Errors
    /// When it cannot be told which machine this is.
    pub fn write(&self, words: &[AtomicU64; FIXED_WORDS], format: &Format) -> Result<(), Failure> {
        let place = Place::here()?;
        let (high, low) = halves(self.incarnation);
        let mut fixed = [0; FIXED_WORDS];
        fixed[..CODEC_AT].copy_from_slice(&[
            u64::from_le_bytes(format.magic),
            format.version,
            high,
            low,
            place.boot.0,
            place.boot.1,
            place.namespace,
            self.capacity as u64,
            self.max_message as u64,
            self.flags(),
        ]);
        let codec = self.codec.as_bytes().chunks(8).take(CODEC_WORDS);
        for (word, bytes) in fixed[CODEC_AT..].iter_mut().zip(codec) {
            *word = bytes.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte));
        }
        fixed[OWN_AT..OWN_AT + OWN_WORDS].copy_from_slice(&self.own);
        fixed[REDELIVERIES_AT] = self.max_redeliveries.map_or(0, |times| u64::from(times) + 1);
        let nanos = |lease: Duration| u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        fixed[LEASE_AT] = self.lease.map_or(0, nanos);
        fixed[FIXED_WORDS - 1] = checksum(&fixed[..FIXED_WORDS - 1]);
        for (word, value) in words.iter().zip(fixed) {
            word.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    const fn flags(&self) -> u64 {
        (if self.auto_close { AUTO_CLOSE } else { 0 }) | (if self.acknowledged { ACKNOWLEDGED } else { 0 })
    }

    /// Reads the fixed part and checks that this process can use the queue called `queue`.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] names what does not match.
    pub fn read(words: &[AtomicU64; FIXED_WORDS], format: &Format, queue: &str) -> Result<Self, OpenError> {
        let mut fixed = [0; FIXED_WORDS];
        for (value, word) in fixed.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        let no_match =
            |what, found: String, expected: String| Err(OpenError::mismatch(queue, what, found, expected));
        Self::check_layout(words, format, queue)?;
        if fixed[FIXED_WORDS - 1] != checksum(&fixed[..FIXED_WORDS - 1]) {
            return no_match("header", "damaged".to_owned(), "an undamaged one".to_owned());
        }
        let here = Place::here().map_err(|failure| failure.into_backend(queue))?;
        if (fixed[4], fixed[5]) != here.boot {
            let found = "an earlier one of this machine, or another machine's";
            return no_match("boot", found.to_owned(), "this one".to_owned());
        }
        if fixed[6] != here.namespace {
            return no_match("process namespace", fixed[6].to_string(), here.namespace.to_string());
        }
        Self::parse(&fixed, format.max_capacity)
            .ok_or_else(|| OpenError::mismatch(queue, "header", "damaged", "an undamaged one"))
    }

    /// Checks that the words of `queue` are where this program looks for them.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] when they are not.
    pub fn check_layout(
        words: &[AtomicU64; FIXED_WORDS],
        format: &Format,
        queue: &str,
    ) -> Result<(), OpenError> {
        Self::check_magic(words[0].load(Ordering::Relaxed), format, queue)?;
        match words[1].load(Ordering::Relaxed) {
            version if version == format.version => Ok(()),
            other => Err(OpenError::mismatch(queue, "layout version", other, format.version)),
        }
    }

    /// Checks that the file of `queue`, which begins with `word`, is one of a queue at all.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] when it is not.
    pub fn check_magic(word: u64, format: &Format, queue: &str) -> Result<(), OpenError> {
        if word == u64::from_le_bytes(format.magic) {
            return Ok(());
        }
        let magic = format!("\"{}\"", String::from_utf8_lossy(&format.magic));
        Err(OpenError::mismatch(queue, "magic", "another file's", magic))
    }

    fn parse(fixed: &[u64; FIXED_WORDS], max_capacity: usize) -> Option<Self> {
        let codec: Vec<u8> = fixed[CODEC_AT..OWN_AT].iter().flat_map(|word| word.to_le_bytes()).collect();
        let codec = codec.split(|&byte| byte == 0).next()?;
        let fixed = Self {
            incarnation: (u128::from(fixed[2]) << 64) | u128::from(fixed[3]),
            capacity: usize::try_from(fixed[7])
                .ok()
                .filter(|capacity| (1..=max_capacity).contains(capacity))?,
            max_message: u32::try_from(fixed[8]).ok()? as usize,
            auto_close: fixed[FLAGS_AT] & AUTO_CLOSE != 0,
            acknowledged: is_acknowledged(fixed[FLAGS_AT]),
            max_redeliveries: fixed[REDELIVERIES_AT]
                .checked_sub(1)
                .map(|times| u32::try_from(times).unwrap_or(u32::MAX)),
            lease: Some(fixed[LEASE_AT]).filter(|nanos| *nanos != 0).map(Duration::from_nanos),
            codec: std::str::from_utf8(codec).ok()?.to_owned(),
            own: fixed[OWN_AT..].first_chunk().copied()?,
        };
        Some(fixed)
    }

    /// The options that would make this queue, as far as its identity goes.
    #[must_use]
    pub fn options(&self) -> QueueOptions {
        let options = QueueOptions::new()
            .capacity(self.capacity)
            .max_message(self.max_message)
            .auto_close(self.auto_close)
            .acknowledged(self.acknowledged)
            .codec(&self.codec);
        let options = match self.max_redeliveries {
            Some(times) => options.max_redeliveries(times),
            None => options,
        };
        match self.lease {
            Some(lease) => options.lease(lease),
            None => options,
        }
    }
}

/// What thread ids in lock words mean: the same ids in another boot, or another namespace, are other threads.
struct Place {
    boot: (u64, u64),
    namespace: u64,
}

impl Place {
    fn here() -> Result<Self, Failure> {
        let read = || -> std::io::Result<Self> {
            let boot = halves(u128::from_le_bytes(machine::boot_id()?));
            Ok(Self { boot, namespace: machine::pid_namespace()? })
        };
        read().map_err(|source| {
            Failure::new("this machine's boot and process namespace could not be read", source)
                .or_advice("see that /proc is mounted")
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the number are meant")]
const fn halves(number: u128) -> (u64, u64) {
    ((number >> 64) as u64, number as u64)
}

/// FNV-1a over words: tells a damaged header from a sound one, and is no defence against forgers.
fn checksum(words: &[u64]) -> u64 {
    words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &word| {
        let mixed = (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        mixed ^ (mixed >> 29)
    })
}
