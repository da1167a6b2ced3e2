//! How times are spread: what share of them took no longer than what.

/// Which percentiles show how times are spread, in tenths of a percent.
pub(super) const PERMILLES: [usize; 8] = [100, 250, 500, 750, 900, 950, 990, 999];

/// How long round trips took at each of [`PERMILLES`], in nanoseconds.
pub(super) type Spread = [u64; PERMILLES.len()];

/// The median and the 99th percentile; leaves `times` sorted.
pub(super) fn percentiles(times: &mut [u64]) -> (u64, u64) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0);
    (at(50), at(99))
}

/// Sorted `times` at each of [`PERMILLES`].
pub(super) fn spread(times: &[u64]) -> Spread {
    PERMILLES.map(|permille| times.get(times.len() * permille / 1000).copied().unwrap_or(0))
}
