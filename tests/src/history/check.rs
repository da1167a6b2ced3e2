//! Is there an order of all effects that a queue accepts and that the clock allows?
//!
//! This is the search of Wing and Gong, with the memory of Lowe: of the effects that come next in each process, try
//! each that no other remaining one precedes in time, and never search twice from the same position and state. What
//! was got in a known order must be put in that order, which spares most of the search: many messages put at once
//! and got later would otherwise be tried in every order.
//!
//! Why not a crate: `todc-utils` 0.1.1 and the tester in `stateright` 0.31 take each call as one effect. The effects of
//! a batch share one interval, are in order, and let others' effects lie between, which neither can say; and the
//! latter is part of a model checker with a web server. What is needed here are the
//! few lines below.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Effect, History, State};

/// Checks that `history` is linearizable.
///
/// # Errors
/// When no order of its effects explains it.
pub fn check(history: &History) -> Result<(), Impossible> {
    let processes: Vec<Vec<Step>> = history.processes.iter().map(|calls| steps(calls)).collect();
    let start = vec![0; processes.len()];
    let earlier = earlier(&processes);
    let (seen, furthest) = (HashSet::new(), start.clone());
    let mut search = Search { capacity: history.capacity, processes, earlier, seen, furthest };
    if search.can_finish(&start, &State::default()) {
        return Ok(());
    }
    Err(Impossible { furthest: search.furthest, history: history.clone() })
}

/// A history that no order of its effects explains.
#[derive(Clone, Debug)]
pub struct Impossible {
    /// How many effects of each process the longest explanation covers.
    furthest: Vec<usize>,
    history: History,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no order of these effects is possible; the longest that is covers, of each process, the first"
        )?;
        writeln!(f, "{:?} effects of", self.furthest)?;
        self.history.fmt(f)
    }
}

/// One effect, and the interval in which it took place.
#[derive(Clone, Copy)]
struct Step {
    began: u64,
    returned: u64,
    effect: Effect,
}

fn steps(calls: &[super::Call]) -> Vec<Step> {
    let of_call = |call: &super::Call| {
        let (began, returned) = (call.began, call.returned);
        call.effects.iter().map(move |&effect| Step { began, returned, effect }).collect::<Vec<_>>()
    };
    calls.iter().flat_map(of_call).collect()
}

/// For each message that was got, those that were got before it for certain.
fn earlier(processes: &[Vec<Step>]) -> HashMap<u32, Vec<u32>> {
    let mut gets = Vec::new();
    for (process, steps) in processes.iter().enumerate() {
        let got = steps.iter().enumerate().filter_map(|(at, step)| match step.effect {
            Effect::Got(message) => Some((message, process, at, *step)),
            _ => None,
        });
        gets.extend(got);
    }
    let precedes = |(_, p, i, one): &(u32, usize, usize, Step),
                    (_, q, j, other): &(u32, usize, usize, Step)| {
        if p == q { i < j } else { one.returned < other.began }
    };
    let before = |get| gets.iter().filter(|one| precedes(one, get)).map(|one| one.0).collect();
    gets.iter().map(|get| (get.0, before(get))).collect()
}

struct Search {
    capacity: usize,
    processes: Vec<Vec<Step>>,
    /// What must be put before each message.
    earlier: HashMap<u32, Vec<u32>>,
    /// The positions and states from which the rest could not be explained.
    seen: HashSet<(Vec<usize>, State)>,
    furthest: Vec<usize>,
}

impl Search {
    /// Whether the effects from `position` on can be put in an order, beginning in `state`.
    fn can_finish(&mut self, position: &[usize], state: &State) -> bool {
        let next: Vec<Option<Step>> =
            self.processes.iter().zip(position).map(|(steps, &at)| steps.get(at).copied()).collect();
        let Some(first_return) = next.iter().flatten().map(|step| step.returned).min() else { return true };
        if !self.seen.insert((position.to_vec(), state.clone())) {
            return false;
        }
        if position.iter().sum::<usize>() > self.furthest.iter().sum() {
            self.furthest = position.to_vec();
        }
        // What began after another remaining call had returned cannot come before it.
        let possible = |step: &Step| step.began <= first_return;
        next.iter().enumerate().any(|(process, step)| {
            let Some(step) = step.filter(possible) else { return false };
            let Some(after) = state.after(step.effect, self.capacity) else { return false };
            if self.jumps_the_line(step.effect, position) {
                return false;
            }
            let mut position = position.to_vec();
            position[process] += 1;
            self.can_finish(&position, &after)
        })
    }

    /// Whether `effect` puts a message before one that was got earlier.
    fn jumps_the_line(&self, effect: Effect, position: &[usize]) -> bool {
        let Effect::Put(message) = effect else { return false };
        let Some(earlier) = self.earlier.get(&message) else { return false };
        let mut to_come = self.processes.iter().zip(position).flat_map(|(steps, &at)| &steps[at..]);
        to_come.any(|step| matches!(step.effect, Effect::Put(other) if earlier.contains(&other)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Call;
    use super::Effect::{Close, Empty, Full, GetClosed, Got, IsEmpty, IsFull, Len, Put, PutClosed};
    use super::*;

    fn call(began: u64, returned: u64, effects: &[Effect]) -> Call {
        Call { began, returned, effects: effects.to_vec() }
    }

    fn explains(capacity: usize, processes: &[&[Call]]) -> bool {
        let processes = processes.iter().map(|calls| calls.to_vec()).collect();
        check(&History { capacity, processes }).is_ok()
    }

    #[test]
    fn accepts_what_one_process_does_in_order() {
        let calls = [
            call(0, 1, &[Empty, IsEmpty(true)]),
            call(2, 3, &[Put(1)]),
            call(4, 5, &[Put(2)]),
            call(6, 7, &[Full, IsFull(true), Len(2)]),
            call(8, 9, &[Close]),
            call(10, 11, &[PutClosed]),
            call(12, 13, &[Got(1)]),
            call(14, 15, &[Got(2)]),
            call(16, 17, &[GetClosed]),
        ];
        assert!(explains(2, &[&calls]));
        for needed in [1, 2, 4, 6, 7] {
            let mut fewer = calls.to_vec();
            fewer.remove(needed);
            assert!(!explains(2, &[&fewer]), "without {:?}", calls[needed]);
        }
    }

    #[test]
    fn accepts_either_order_of_what_overlaps() {
        let puts = [call(0, 10, &[Put(1)])];
        for (first, second) in [(1, 2), (2, 1)] {
            let gets = [call(11, 12, &[Got(first)]), call(13, 14, &[Got(second)])];
            assert!(explains(9, &[&puts, &[call(5, 10, &[Put(2)])], &gets]));
        }
        let gets = [call(11, 12, &[Got(2)]), call(13, 14, &[Got(1)])];
        assert!(!explains(9, &[&puts, &[call(11, 20, &[Put(2)])], &gets]), "the put of 1 had returned");
    }

    #[test]
    fn rejects_a_message_that_is_hidden_after_its_put_returned() {
        let put = [call(0, 1, &[Put(1)])];
        assert!(!explains(9, &[&put, &[call(2, 3, &[Empty])]]));
        assert!(!explains(9, &[&put, &[call(2, 3, &[Len(0)])]]));
        assert!(!explains(9, &[&put, &[call(2, 3, &[IsEmpty(true)])]]));
        assert!(explains(9, &[&put, &[call(1, 3, &[Empty])]]));
    }

    #[test]
    fn rejects_a_message_that_goes_to_two_or_to_one_before_it_was_put() {
        let put = [call(0, 1, &[Put(1)])];
        assert!(!explains(9, &[&put, &[call(0, 9, &[Got(1)])], &[call(0, 9, &[Got(1)])]]));
        assert!(!explains(9, &[&[call(5, 6, &[Put(1)])], &[call(0, 4, &[Got(1)])]]));
        assert!(!explains(9, &[&put, &[call(2, 3, &[Got(7)])]]), "nobody put it");
    }

    #[test]
    fn rejects_one_too_many_and_a_full_that_never_was() {
        let puts = [call(0, 1, &[Put(1)]), call(2, 3, &[Put(2)]), call(4, 5, &[Put(3)])];
        assert!(explains(3, &[&puts]));
        assert!(!explains(2, &[&puts]));
        assert!(!explains(3, &[&puts[..2], &[call(0, 9, &[Full])]]));
        assert!(explains(2, &[&puts[..2], &[call(0, 9, &[Full])]]));
    }

    #[test]
    fn rejects_a_put_that_slips_in_behind_a_drained_closed_queue() {
        let closer = [call(0, 1, &[Close]), call(2, 3, &[GetClosed])];
        assert!(!explains(9, &[&closer, &[call(0, 9, &[Put(1)])], &[call(10, 11, &[Got(1)])]]));
        assert!(explains(9, &[&closer, &[call(0, 9, &[PutClosed])]]));
    }

    #[test]
    fn effects_of_a_batch_are_in_order_and_may_have_others_between() {
        let batch = [call(0, 10, &[Put(1), Put(2), Put(3)])];
        let other = [call(0, 10, &[Put(9)])];
        let gets = |order: [u32; 4]| [call(11, 12, &order.map(Got))];
        assert!(explains(9, &[&batch, &other, &gets([1, 9, 2, 3])]));
        assert!(explains(9, &[&batch, &other, &gets([9, 1, 2, 3])]));
        assert!(!explains(9, &[&batch, &other, &gets([2, 1, 9, 3])]));
    }

    #[test]
    fn what_cannot_be_explained_is_shown() {
        let history = History { capacity: 1, processes: vec![vec![call(5, 6, &[Got(4)])]] };
        let text = check(&history).expect_err("nobody put it").to_string();
        assert!(text.contains("[0] effects") && text.contains("Got(4)"), "{text}");
    }

    #[test]
    fn many_overlapping_calls_take_no_endless_search() {
        let process = |first: u32| (0..12).map(|n| call(0, 100, &[Put(first + n)])).collect::<Vec<_>>();
        let processes: Vec<_> = (0..3).map(|p| process(p * 100)).collect();
        let gets: Vec<u32> = (0..12).flat_map(|n| [200 + n, n, 100 + n]).collect();
        let gets = [call(101, 102, &gets.into_iter().map(Got).collect::<Vec<_>>())];
        let slices: Vec<&[Call]> = processes.iter().map(Vec::as_slice).chain([gets.as_slice()]).collect();
        assert!(explains(36, &slices));
    }
}
