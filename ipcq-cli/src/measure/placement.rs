//! Where the two sides of a measurement run.
//!
//! Two processors of one machine can be ten times as far from each other as two others. So where there is one process
//! on each side, both are bound to a pair of processors, the queue's to the same one as the reference's, and each
//! repetition takes another pair.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A processor for each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Where messages are put.
    pub put: usize,
    /// Where they are got.
    pub get: usize,
}

/// The processors that this process may use.
#[derive(Debug)]
pub struct Processors(Vec<usize>);

impl Processors {
    /// Those on which the calling thread may run.
    #[must_use]
    pub fn here() -> Self {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        Self((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
    }

    /// The pair of a repetition: all pairs in turn, in either order. None where there is but one processor.
    #[must_use]
    pub fn pair(&self, repetition: usize) -> Option<Pair> {
        let count = self.0.len();
        let others = count.checked_sub(1).filter(|others| *others > 0)?;
        let at = repetition % (count * others);
        let (put, step) = (at % count, 1 + at / count);
        Some(Pair { put: self.0[put], get: self.0[(put + step) % count] })
    }
}

/// Where the calling thread may run.
#[derive(Debug)]
pub struct Place(Option<CpuSet>);

impl Place {
    /// Where it may run now, to come back to.
    #[must_use]
    pub fn here() -> Self {
        Self(sched_getaffinity(Pid::from_raw(0)).ok())
    }

    /// Binds the calling thread to its side's processor of `pair`, or lets it run where it might before.
    pub fn settle(&self, pair: Option<Pair>, puts: bool) {
        let alone = pair.and_then(|pair| {
            let mut set = CpuSet::new();
            set.set(if puts { pair.put } else { pair.get }).ok()?;
            Some(set)
        });
        if let Some(set) = alone.or(self.0) {
            // Where that is not allowed, it runs where it may.
            let _ = sched_setaffinity(Pid::from_raw(0), &set);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn repetitions_take_all_pairs_in_turn() {
        let processors = Processors(vec![1, 4, 6]);
        let pairs: Vec<_> = (0..6).filter_map(|repetition| processors.pair(repetition)).collect();
        assert!(pairs.iter().all(|pair| pair.put != pair.get));
        let different: HashSet<_> = pairs.iter().map(|pair| (pair.put, pair.get)).collect();
        assert_eq!(different.len(), 6);
        assert_eq!(processors.pair(6), processors.pair(0));
        assert_eq!(Processors(vec![3]).pair(0), None);
    }
}
