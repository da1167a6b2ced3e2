//! Whole numbers, as bincode's standard configuration writes them: up to 250 as one byte, else a byte that says how many
//! follow, and those, the lowest first. Signed ones are turned into unsigned ones before, so that those near 0 are short.
//!
//! bincode's own code for them asks its reader or writer several times for each number. Most fields of most messages are
//! such numbers, so they go a shorter way here; what there is besides goes through bincode.

/// The largest number that is one byte.
pub(super) const ONE_BYTE: u64 = 250;
/// Says that 2, 4 or 8 bytes follow.
pub(super) const TWO: u8 = 251;
pub(super) const FOUR: u8 = 252;
pub(super) const EIGHT: u8 = 253;

/// The most bytes that a number takes.
pub(super) const LONGEST: usize = 9;

/// A whole number of a type that messages have.
pub(super) trait Whole: Copy {
    /// The byte before the longest ones of this type.
    const WIDEST: u8;

    /// As it is written.
    fn to_wire(self) -> u64;

    /// As it was before. What is wider than the type does not come here.
    fn from_wire(wire: u64) -> Self;
}

macro_rules! whole {
    ($($unsigned:ty, $signed:ty, $widest:expr;)*) => {$(
        impl Whole for $unsigned {
            const WIDEST: u8 = $widest;

            #[inline]
            #[allow(clippy::cast_lossless, reason = "the same for all widths")]
            fn to_wire(self) -> u64 {
                self as u64
            }

            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "wider ones were refused before")]
            fn from_wire(wire: u64) -> Self {
                wire as Self
            }
        }

        impl Whole for $signed {
            const WIDEST: u8 = $widest;

            #[inline]
            fn to_wire(self) -> u64 {
                // 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
                ((self << 1) ^ (self >> (Self::BITS - 1))).cast_unsigned().to_wire()
            }

            #[inline]
            fn from_wire(wire: u64) -> Self {
                let unsigned = <$unsigned>::from_wire(wire);
                (unsigned >> 1).cast_signed() ^ -(unsigned & 1).cast_signed()
            }
        }
    )*};
}

whole! {
    u16, i16, TWO;
    u32, i32, FOUR;
    u64, i64, EIGHT;
}
