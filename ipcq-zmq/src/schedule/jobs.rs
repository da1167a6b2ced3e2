//! What happens to the workers of a generated schedule with deliveries.

use proptest::collection::vec;
use proptest::prelude::*;

pub(super) const WORKERS: usize = 4;

/// What happens to one worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Put(u8),
    /// Gets a delivery, or one message for good.
    Get {
        waits: bool,
        for_good: bool,
    },
    /// Reads the reply to what it asked, if there is one.
    Read,
    /// Settles what it holds, by its place among that, over another session of its process or its own.
    Settle {
        place: usize,
        back: bool,
        elsewhere: bool,
    },
    Join {
        waits: bool,
    },
    /// Loses its connection and every reply on it, and comes back for them.
    Reconnect,
    /// Its session ends, and it gets another one.
    Leave,
    Die,
    /// Those who were sent something and did not say that it arrived are found to be stopped.
    Recall,
    Pass(u16),
    /// The queue of dead letters is full from now on, or not any more.
    Crowd(bool),
    Close,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let settle = (0..4_usize, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        8 => (1..4_u8).prop_map(Step::Put),
        10 => (any::<bool>(), prop::bool::weighted(0.15)).prop_map(|(waits, for_good)| Step::Get { waits, for_good }),
        16 => Just(Step::Read),
        8 => settle.prop_map(|(place, back, elsewhere)| Step::Settle { place, back, elsewhere }),
        2 => any::<bool>().prop_map(|waits| Step::Join { waits }),
        4 => Just(Step::Reconnect),
        1 => Just(Step::Leave),
        2 => Just(Step::Die),
        2 => Just(Step::Recall),
        3 => (0..700_u16).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Crowd),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Step::Close } else { Step::Read }),
    ];
    vec((0..WORKERS, step), 1..250)
}
