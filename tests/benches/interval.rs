//! The median, and where that of all that could be measured lies.

/// The median of some numbers with its 95 % interval, from the ranks between which it lies whatever the distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// Of `numbers`; none where there are none.
    pub(crate) fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let low = rank(sorted.len());
        let median = f64::midpoint(sorted[last / 2], sorted[last - last / 2]);
        Some(Self { low: sorted[low], median, high: sorted[last - low] })
    }
}

/// How many of `count` sorted numbers lie below the interval: as many as are so seldom below the median that both sides
/// together make 5 %. A count below six has no such interval, and gets its extremes.
fn rank(count: usize) -> usize {
    // The binomial distribution of a fair coin, summed from its end.
    let mut one = (0..count).fold(1.0_f64, |share, _| share / 2.0);
    let (mut below, mut rank) = (0.0, 0);
    for heads in 0..count / 2 {
        below += one;
        if below > 0.025 {
            break;
        }
        rank = heads + 1;
        let float = |number: usize| u32::try_from(number).map_or(f64::INFINITY, f64::from);
        one *= float(count - heads) / float(heads + 1);
    }
    // `rank` numbers may be below it; the first that counts is the one before.
    rank.saturating_sub(1)
}

/// Fails unless medians and ranks are those of the tables in books.
pub(crate) fn check() -> Result<(), String> {
    // For 30 numbers the interval is from the 10th to the 21st, for 50 from the 18th to the 33rd, for 6 all of them.
    for (count, expected) in [(0, 0), (1, 0), (6, 0), (9, 1), (30, 9), (50, 17), (100, 39)] {
        if rank(count) != expected {
            return Err(format!("of {count} numbers {} lie below the interval, not {expected}", rank(count)));
        }
    }
    let of = |numbers: &[f64]| Interval::of(numbers).map(|interval| interval.median);
    if of(&[]).is_some() || of(&[3.0, 1.0, 2.0]) != Some(2.0) || of(&[4.0, 1.0, 2.0, 3.0]) != Some(2.5) {
        return Err("a median is wrong".to_owned());
    }
    Ok(())
}
