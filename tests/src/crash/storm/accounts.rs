//! Whether all that was put arrived, once and in order, but what the dead had in their hands.
//!
//! Nobody sees what a killed getter took. But messages leave in the order in which they were put, so each lost one left
//! between those put before it and those put after it, of which it is known between which instants they left. It
//! must then have left during the last call of some getter that was killed in it, and each such call accounts for
//! as many messages as it had asked for: one, or one batch.

/// From when to when, in microseconds since the storm began, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// A message that was put: whose put returned, or which came out, or after which another one of its batch came out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    /// The call that put it; until the end of time when it never returned.
    pub(super) put: Span,
    /// The call that took it, and the time until its getter had noted it.
    pub(super) got: Option<Span>,
}

/// The last call of a getter that was killed in it, or before it had noted what it returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// From the beginning of the call until the getter was dead.
    pub(super) last: Span,
    /// How many messages it may have had.
    pub(super) most: usize,
}

/// What the books say when they are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) put: usize,
    pub(super) got: usize,
    pub(super) lost: usize,
    /// How many of the dead account for what is lost.
    pub(super) takers: usize,
}

/// Checks what became of the messages of each producer, in the order in which it put them.
///
/// # Errors
/// What is out of order, or is lost and in nobody's hands.
pub(super) fn audit(producers: &[Vec<Passage>], deaths: &[Death]) -> Result<Balance, String> {
    let order = Order::of(producers);
    let mut lost = Vec::new();
    let mut balance = Balance::default();
    for (producer, messages) in producers.iter().enumerate() {
        for (number, (message, own)) in messages.iter().zip(bounds_of_one(messages)).enumerate() {
            let bounds = own.within(order.bounds(message.put));
            balance.put += 1;
            match message.got {
                Some(got) if got.to < bounds.from => {
                    let late = format!("message {number} of {producer} came in {got:?}");
                    return Err(format!("{late}, and one put before it at {} or later", bounds.from));
                }
                Some(_) => balance.got += 1,
                None => lost.push((producer, number, bounds)),
            }
        }
    }
    balance.lost = lost.len();
    balance.takers = Hands::new(&lost, deaths).fill()?;
    Ok(balance)
}

impl Span {
    const ALWAYS: Self = Self { from: 0, to: u32::MAX };

    fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    const fn meets(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// Between which instants each message of one producer left, as its other messages say.
fn bounds_of_one(messages: &[Passage]) -> Vec<Span> {
    let mut all = Vec::with_capacity(messages.len());
    let mut from = 0;
    for message in messages {
        all.push(Span { from: from.max(message.put.from), to: u32::MAX });
        from = message.got.map_or(from, |got| from.max(got.from));
    }
    let mut to = u32::MAX;
    for (message, bounds) in messages.iter().zip(&mut all).rev() {
        bounds.to = to;
        to = message.got.map_or(to, |got| to.min(got.to));
    }
    all
}

/// What the messages of all producers together say about when one left.
struct Order {
    /// By the return of their puts: when the last of the messages up to there began to be got.
    before: Vec<(u32, u32)>,
    /// By the beginning of their puts: when the first of the messages from there on had been got.
    after: Vec<(u32, u32)>,
}

impl Order {
    fn of(producers: &[Vec<Passage>]) -> Self {
        let came = || producers.iter().flatten().filter_map(|message| Some((message.put, message.got?)));
        let mut before: Vec<_> = came().map(|(put, got)| (put.to, got.from)).collect();
        before.sort_unstable();
        let mut latest = 0;
        for (_, from) in &mut before {
            latest = latest.max(*from);
            *from = latest;
        }
        let mut after: Vec<_> = came().map(|(put, got)| (put.from, got.to)).collect();
        after.sort_unstable();
        let mut first = u32::MAX;
        for (_, to) in after.iter_mut().rev() {
            first = first.min(*to);
            *to = first;
        }
        Self { before, after }
    }

    /// Between which instants a message left that was put in `put`.
    fn bounds(&self, put: Span) -> Span {
        let earlier = self.before.partition_point(|(returned, _)| *returned < put.from);
        let later = self.after.partition_point(|(began, _)| *began <= put.to);
        let from = earlier.checked_sub(1).and_then(|last| self.before.get(last)).map_or(0, |(_, from)| *from);
        let to = self.after.get(later).map_or(Span::ALWAYS.to, |(_, to)| *to);
        Span { from, to }
    }
}

/// Who of the dead had which of the lost messages: a matching, found by augmenting paths.
struct Hands<'a> {
    lost: &'a [(usize, usize, Span)],
    deaths: &'a [Death],
    /// The messages that each of the dead accounts for.
    held: Vec<Vec<usize>>,
}

impl<'a> Hands<'a> {
    fn new(lost: &'a [(usize, usize, Span)], deaths: &'a [Death]) -> Self {
        Self { lost, deaths, held: vec![Vec::new(); deaths.len()] }
    }

    /// Finds a holder for every lost message; returns how many have one.
    fn fill(mut self) -> Result<usize, String> {
        for (index, (producer, number, bounds)) in self.lost.iter().enumerate() {
            if !self.place(index, &mut vec![false; self.deaths.len()]) {
                let what = format!("message {number} of {producer} is lost");
                return Err(format!("{what}: it left in {bounds:?}, and nobody who died can have had it"));
            }
        }
        Ok(self.held.iter().filter(|held| !held.is_empty()).count())
    }

    /// Gives message `index` to one of the dead, who may have to pass another one on.
    fn place(&mut self, index: usize, asked: &mut [bool]) -> bool {
        let bounds = self.lost[index].2;
        for (taker, death) in self.deaths.iter().enumerate() {
            if asked[taker] || !death.last.meets(bounds) {
                continue;
            }
            asked[taker] = true;
            if self.held[taker].len() < death.most {
                self.held[taker].push(index);
                return true;
            }
            for place in 0..self.held[taker].len() {
                if self.place(self.held[taker][place], asked) {
                    self.held[taker][place] = index;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(from: u32, to: u32) -> Span {
        Span { from, to }
    }

    /// Message `number`, put at ten times its number, and got from `got` on, if it was.
    fn passage(number: u32, got: Option<u32>) -> Passage {
        let at = 10 * number;
        Passage { put: span(at, at + 1), got: got.map(|from| span(from, from + 5)) }
    }

    fn all_but(lost: &[u32]) -> Vec<Passage> {
        let came = |number| passage(number, (!lost.contains(&number)).then_some(10 * number + 100));
        (0..20).map(came).collect()
    }

    #[test]
    fn nothing_is_lost_where_nobody_died() {
        let balance = audit(&[all_but(&[]), all_but(&[])], &[]);
        assert_eq!(balance, Ok(Balance { put: 40, got: 40, lost: 0, takers: 0 }));
        assert!(audit(&[all_but(&[5])], &[]).is_err());
    }

    /// In total the dead may have had more than is lost, and yet not this.
    #[test]
    fn who_died_at_another_time_did_not_have_it() {
        let death = |from, to| Death { last: span(from, to), most: 16 };
        assert!(audit(&[all_but(&[5])], &[death(145, 150)]).is_ok());
        for elsewhen in [death(0, 135), death(170, 190)] {
            assert!(audit(&[all_but(&[5])], &[elsewhen]).is_err(), "{elsewhen:?}");
        }
        // The messages of another producer say the same.
        let alone = vec![passage(5, None)];
        assert!(audit(&[all_but(&[]), alone.clone()], &[death(170, 190)]).is_err());
        assert!(audit(&[alone], &[death(170, 190)]).is_ok());
    }

    #[test]
    fn one_of_the_dead_had_one_batch_at_most() {
        let death = Death { last: span(0, 400), most: 1 };
        assert!(audit(&[all_but(&[5])], &[death]).is_ok());
        assert!(audit(&[all_but(&[5, 6])], &[death]).is_err());
        assert_eq!(audit(&[all_but(&[5, 6])], &[death, death]).map(|balance| balance.takers), Ok(2));
    }

    /// The first of the dead can have had either message, the second only the earlier one.
    #[test]
    fn holders_change_places() {
        let deaths = [Death { last: span(0, 400), most: 1 }, Death { last: span(140, 155), most: 1 }];
        assert!(audit(&[all_but(&[4, 12])], &deaths).is_ok());
    }

    #[test]
    fn who_overtakes_is_noticed() {
        let mut messages = all_but(&[]);
        messages[7].got = Some(span(250, 255));
        assert!(audit(&[messages.clone()], &[]).is_err());
        // Also from one producer to another.
        let alone = vec![passage(9, Some(180))];
        assert!(audit(&[vec![messages[7]], alone], &[]).is_err());
    }
}
