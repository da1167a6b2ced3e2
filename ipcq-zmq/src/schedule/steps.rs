//! What happens to the clients of a generated schedule.

use proptest::collection::vec;
use proptest::prelude::*;

/// What happens to one client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Put {
        messages: u8,
        wait: Option<u8>,
        long: bool,
        some: bool,
    },
    Get {
        messages: u8,
        wait: Option<u8>,
        /// Whether what it gets is its own once it has read it.
        on_read: bool,
    },
    /// Reads the reply to what it asked, if there is one.
    Read,
    /// Loses its connection and every reply on it, and comes back for them.
    Reconnect,
    /// Loses its connection and gives up; another client takes its place.
    Abandon,
    Die,
    /// Dies, and the broker does not notice.
    Vanish,
    /// The broker notices who is dead.
    Notice,
    /// Those who have not acknowledged what others wait for are found to be stopped.
    Recall,
    Close,
    Pass(u16),
}

pub(super) fn steps(clients: usize) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let wait = || prop_oneof![Just(None), (0..20_u8).prop_map(Some)];
    let step = prop_oneof![
        8 => (0..9_u8, wait(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(messages, wait, long, some)| Step::Put { messages, wait, long, some }),
        8 => (0..5_u8, wait(), any::<bool>())
            .prop_map(|(messages, wait, on_read)| Step::Get { messages, wait, on_read }),
        16 => Just(Step::Read),
        3 => Just(Step::Reconnect),
        2 => Just(Step::Abandon),
        2 => Just(Step::Die),
        2 => Just(Step::Vanish),
        2 => Just(Step::Notice),
        4 => Just(Step::Recall),
        1 => prop::bool::weighted(0.2).prop_map(|close| if close { Step::Close } else { Step::Read }),
        3 => (0..2000_u16).prop_map(Step::Pass),
    ];
    vec((0..clients, step), 1..200)
}
