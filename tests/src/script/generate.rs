//! How scripts are made at random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Action, HANDLES, Message, Step};
use crate::model::Patience;

/// Scripts of up to `steps` steps, which begin by making a queue.
pub fn script(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    let first = create().prop_map(|action| Step { handle: 0, action });
    let rest = vec((0..HANDLES, action()).prop_map(|(handle, action)| Step { handle, action }), 1..steps);
    (first, rest).prop_map(|(first, rest)| std::iter::once(first).chain(rest).collect())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (message(), patience()).prop_map(|(message, patience)| Action::Put(message, patience)),
        4 => (message(), patience()).prop_map(|(message, patience)| Action::PutLoan(message, patience)),
        6 => (vec(message(), 0..6), patience()).prop_map(|(messages, patience)| Action::PutMany(messages, patience)),
        9 => patience().prop_map(Action::Get),
        3 => patience().prop_map(Action::GetLoan),
        4 => (0_usize..6, patience()).prop_map(|(max, patience)| Action::GetMany(max, patience)),
        3 => (0_usize..6, length()).prop_map(|(max, bytes)| Action::GetBytes(max, bytes)),
        1 => Just(Action::Drain),
        6 => Just(Action::Observe),
        1 => Just(Action::Close),
        2 => create(),
        5 => Just(Action::Open),
        1 => Just(Action::Drop),
        1 => Just(Action::Remove),
        1 => Just(Action::List),
    ]
}

fn create() -> impl Strategy<Value = Action> {
    let capacity = prop_oneof![1_usize..5, Just(1000)];
    let max_message = prop_oneof![5 => Just(1 << 30), 1 => 0_usize..3000];
    (capacity, max_message).prop_map(|(capacity, max_message)| Action::Create { capacity, max_message })
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![Just(Patience::None), Just(Patience::Zero), Just(Patience::Endless)]
}

fn message() -> impl Strategy<Value = Message> {
    (length(), any::<u8>()).prop_map(|(len, seed)| Message { len, seed })
}

/// Lengths from none to beyond 64 KiB, often near a power of two.
fn length() -> impl Strategy<Value = usize> {
    let near_a_power =
        (0_u32..17, 0_usize..40).prop_map(|(power, off)| ((1_usize << power) + off).saturating_sub(20));
    prop_oneof![4 => 0_usize..100, 2 => near_a_power, 1 => 60_000_usize..140_000]
}
