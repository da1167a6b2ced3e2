//! One operation recorded instruction by instruction, and which of its boundaries to visit.

use std::collections::HashMap;
use std::io;

use super::tracee::{Event, Tracee};

/// What was seen at one boundary between two instructions.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The address of the next instruction.
    pub ip: u64,
    /// The registers that may hold the addresses of a copy.
    pub pointers: [u64; POINTERS],
    /// Numbers the state that others would find if the process died here: equal numbers, equal states.
    pub state: usize,
    /// Inside a repeated string instruction: the boundary before its first repetition.
    pub repeats: Option<usize>,
}

/// How many registers a [`Point`] has; the first is where string instructions write.
pub(super) const POINTERS: usize = 9;
const DESTINATION: usize = 0;

/// How a later run gets to a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approach {
    /// Pass the instruction of boundary `from` so many times, stop before it, then step.
    Break {
        /// The earlier boundary.
        from: usize,
        /// How often its instruction runs before.
        passes: usize,
    },
    /// Go to boundary `entry`, where a bulk copy begins; then watch for the access to memory that register
    /// `register` leads to at boundary `near`, then step.
    Watch {
        /// Where the copy begins.
        entry: usize,
        /// The boundary that the access comes soon after.
        near: usize,
        /// Which of [`Point::pointers`].
        register: usize,
        /// How far below its value to watch.
        below: u64,
    },
}

/// A boundary to visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its number in the recording.
    pub index: usize,
    /// How to get there.
    pub approach: Approach,
}

/// One operation recorded instruction by instruction; of repeated string instructions only some repetitions.
#[derive(Debug, Default)]
pub struct Trace {
    /// What was seen at each boundary; the first is before the first instruction.
    pub points: Vec<Point>,
    /// The boundaries at which the operation slept on its way.
    pub sleeps: Vec<usize>,
    /// For each boundary, the cheapest way to get there with a breakpoint.
    breaks: Vec<Approach>,
}

/// An instruction that ran this few steps before makes a loop.
const LOOP: usize = 96;
/// A loop of at least this many steps is a bulk copy, of which only some boundaries are visited.
const BULK: usize = 600;
/// How many boundaries of a copy are visited at each end, and how many between.
const ENDS: usize = 100;
const BETWEEN: usize = 200;
/// How long a recording may be.
const LONGEST: usize = 400_000;
/// A string instruction with fewer repetitions left is stepped like any other.
const LONG_REPEAT: u64 = 4 * ENDS as u64;
/// Of a long one so many repetitions are recorded between its ends: a large message is copied in several pieces.
const REPEATS_BETWEEN: u64 = 12;
/// How many repetitions are visited where one piece ends and the next begins.
const SEAM: usize = 8;

impl Trace {
    /// Steps `tracee` from where it stands to its end marker. `state` is asked after each step for the number of
    /// the state that a death would leave; `asleep` is called when the tracee sleeps, and must see to it that it
    /// wakes.
    ///
    /// # Errors
    /// When the tracee ends otherwise, or never.
    pub fn record(
        tracee: &mut Tracee,
        mut state: impl FnMut(&Tracee) -> io::Result<usize>,
        mut asleep: Option<&mut dyn FnMut()>,
    ) -> io::Result<Self> {
        let mut trace = Self::default();
        let mut event = Event::At(tracee.instruction_pointer()?);
        while event != Event::Ended {
            let number = state(tracee)?;
            trace.note(tracee, number)?;
            trace.skip_repetitions(tracee)?;
            event = tracee.step(asleep.is_some())?;
            while event == Event::Asleep {
                trace.sleeps.push(trace.points.len() - 1);
                if let Some(wake) = asleep.as_mut() {
                    wake();
                }
                event = tracee.wait(true)?;
            }
        }
        trace.find_breaks();
        Ok(trace)
    }

    fn note(&mut self, tracee: &Tracee, state: usize) -> io::Result<()> {
        if self.points.len() > LONGEST {
            return Err(io::Error::other("the operation takes too many instructions to be recorded"));
        }
        let r = tracee.registers()?;
        let pointers = [r.rdi, r.rsi, r.rax, r.rcx, r.rdx, r.r8, r.r9, r.r10, r.r11];
        let here = self.points.len();
        let last = self.points.last().filter(|last| last.ip == r.rip);
        let repeats = last.map(|last| last.repeats.unwrap_or(here - 1));
        self.points.push(Point { ip: r.rip, pointers, state, repeats });
        Ok(())
    }

    /// Once the first repetitions of a long string instruction are recorded, runs on to its last ones, and
    /// records a few on the way.
    fn skip_repetitions(&mut self, tracee: &mut Tracee) -> io::Result<()> {
        let here = self.points.len() - 1;
        let point = self.points[here];
        let Some(entry) = point.repeats else { return Ok(()) };
        let left = tracee.registers()?.rcx;
        if here - entry != ENDS || left < LONG_REPEAT || !tracee.writes_bytes()? {
            return Ok(());
        }
        let spread = (left - ENDS as u64) / REPEATS_BETWEEN;
        for _ in 0..REPEATS_BETWEEN {
            let at = self.points[self.points.len() - 1].pointers[DESTINATION];
            let aim = (at + spread) & !7;
            tracee.set_watchpoint(aim)?;
            let event = tracee.go_on(None)?;
            tracee.clear_points()?;
            if event != Event::At(point.ip) {
                return Err(io::Error::other(format!("a copy was left at {event:?}")));
            }
            self.note(tracee, point.state)?;
        }
        Ok(())
    }

    /// How many instructions were recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// How many different states a death could leave.
    #[must_use]
    pub fn states(&self) -> usize {
        self.points.iter().map(|point| point.state + 1).max().unwrap_or(0)
    }

    /// Every boundary, but of bulk copies only the first and last 100 and 200 between.
    #[must_use]
    pub fn all(&self) -> Vec<Target> {
        let (copies, pieces) = (self.copies(), self.pieces());
        let mut targets = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            let copy = copies.iter().find(|(begin, end)| (*begin..*end).contains(&index));
            let wanted = copy.is_none_or(|&(begin, end)| sampled(index, begin, end));
            if wanted && !between_seams(index, &pieces) {
                targets.push(Target { index, approach: self.approach(index, copy) });
            }
        }
        targets
    }

    /// The first and the last boundary of each stretch that leaves the same state: for scenarios in which one
    /// visit is slow.
    #[must_use]
    pub fn edges(&self) -> Vec<Target> {
        let state = |index: usize| self.points.get(index).map(|point| point.state);
        let changes = |target: &Target| {
            let index = target.index;
            index == 0 || state(index - 1) != state(index) || state(index + 1) != state(index)
        };
        self.all().into_iter().filter(changes).collect()
    }

    /// How to get to a boundary with a breakpoint and steps alone.
    #[must_use]
    pub fn break_for(&self, index: usize) -> Approach {
        self.breaks[index]
    }

    /// The way to `target` that cannot fail, where there is one.
    #[must_use]
    pub fn slow_approach(&self, target: &Target) -> Approach {
        let inside_repeats = self.points[target.index].repeats.is_some();
        if inside_repeats { target.approach } else { self.breaks[target.index] }
    }

    /// Loops that copy, as half-open ranges of boundaries.
    fn copies(&self) -> Vec<(usize, usize)> {
        let mut last_run: HashMap<u64, usize> = HashMap::new();
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (index, point) in self.points.iter().enumerate() {
            let before = last_run.insert(point.ip, index);
            let in_loop = before.is_some_and(|before| index - before <= LOOP) && point.repeats.is_none();
            match runs.last_mut() {
                Some((_, end)) if in_loop && index - *end <= LOOP => *end = index + 1,
                _ if in_loop => runs.push((index, index + 1)),
                _ => {}
            }
        }
        runs.retain(|(begin, end)| end - begin >= BULK);
        runs
    }

    /// Long string instructions, as half-open ranges of boundaries.
    fn pieces(&self) -> Vec<(usize, usize)> {
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        for (index, point) in self.points.iter().enumerate() {
            match (point.repeats, pieces.last_mut()) {
                (Some(entry), Some((begin, end))) if *begin == entry => *end = index + 1,
                (Some(entry), _) => pieces.push((entry, index + 1)),
                (None, _) => {}
            }
        }
        pieces.retain(|(begin, end)| end - begin > 2 * ENDS);
        pieces
    }

    fn find_breaks(&mut self) {
        let mut runs: HashMap<u64, usize> = HashMap::new();
        let mut best = (0, 0);
        let mut cost = 0;
        for (index, point) in self.points.iter().enumerate() {
            let passes = runs.entry(point.ip).or_default();
            cost += 1;
            // A breakpoint on a string instruction is hit once for all its repetitions.
            let repeated = self.points.get(index + 1).is_some_and(|next| next.repeats.is_some());
            if index == 0 || *passes < cost && point.repeats.is_none() && !repeated {
                (best, cost) = ((index, *passes), *passes);
            }
            *passes += 1;
            self.breaks.push(Approach::Break { from: best.0, passes: best.1 });
        }
    }

    fn approach(&self, index: usize, copy: Option<&(usize, usize)>) -> Approach {
        if let Some(entry) = self.points[index].repeats
            && index - entry > ENDS
        {
            return Approach::Watch { entry, near: index, register: DESTINATION, below: 192 };
        }
        let deep = copy.filter(|(begin, _)| index - begin > 2 * LOOP);
        let watch = deep.and_then(|&(begin, _)| self.watch(index, begin));
        watch.unwrap_or(self.breaks[index])
    }

    /// A register that moves through memory as the copy goes on, and its value some steps before `index`.
    fn watch(&self, index: usize, entry: usize) -> Option<Approach> {
        let near = index.saturating_sub(LOOP + LOOP / 2).max(entry + 1);
        let moves = |register: usize| {
            let at = |index: usize| self.points[index].pointers[register];
            let (start, there, end) = (at(near), at(near + LOOP), at(index));
            let is_address = (1 << 32..1 << 47).contains(&start);
            let forward = start < there && there <= end;
            let backward = start > there && there >= end;
            is_address && (forward || backward)
        };
        let register = (0..POINTERS).find(|&register| moves(register))?;
        Some(Approach::Watch { entry, near, register, below: 0 })
    }
}

fn sampled(index: usize, begin: usize, end: usize) -> bool {
    let (from_begin, to_end) = (index - begin, end - index - 1);
    let spread = ((end - begin) / BETWEEN).max(1);
    from_begin < ENDS || to_end < ENDS || from_begin % spread == 0
}

/// Whether a boundary lies near the seam of two pieces of a copy, and not very near.
fn between_seams(index: usize, pieces: &[(usize, usize)]) -> bool {
    let Some(piece) = pieces.iter().position(|(begin, end)| (*begin..*end).contains(&index)) else {
        return false;
    };
    let (begin, end) = pieces[piece];
    let (from_begin, to_end) = (index - begin, end - index - 1);
    let behind_seam = piece > 0 && (SEAM..ENDS).contains(&from_begin);
    let before_seam = piece + 1 < pieces.len() && (SEAM..ENDS).contains(&to_end);
    behind_seam || before_seam
}

/// One of the registers of [`Point::pointers`].
pub(super) fn pointer(tracee: &Tracee, register: usize) -> io::Result<u64> {
    let r = tracee.registers()?;
    Ok([r.rdi, r.rsi, r.rax, r.rcx, r.rdx, r.r8, r.r9, r.r10, r.r11][register])
}
