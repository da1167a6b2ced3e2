//! How times are spread: what share of them took no longer than what.

/// Which percentiles show how times are spread, in tenths of a percent.
pub const PERMILLES: [usize; 8] = [100, 250, 500, 750, 900, 950, 990, 999];

/// How long round trips took at each of [`PERMILLES`], in nanoseconds.
pub type Spread = [u64; PERMILLES.len()];

/// The median and the 99th percentile; leaves `times` sorted.
pub fn percentiles(times: &mut [u64]) -> (u64, u64) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0);
    (at(50), at(99))
}

/// Sorted `times` at each of [`PERMILLES`].
#[must_use]
pub fn spread(times: &[u64]) -> Spread {
    PERMILLES.map(|permille| times.get(times.len() * permille / 1000).copied().unwrap_or(0))
}

/// The middle of `numbers`; the higher one of two.
#[must_use]
pub fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// What each of `numbers` is of the one `beside` it.
#[must_use]
pub fn ratios(numbers: &[f64], beside: &[f64]) -> Vec<f64> {
    numbers.iter().zip(beside).map(|(one, other)| one / other).collect()
}
