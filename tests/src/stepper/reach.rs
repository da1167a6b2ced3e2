//! Brings a fresh tracee to a boundary that an earlier one was recorded at.

use std::io;

use super::trace::{Approach, Target, Trace, pointer};
use super::tracee::{Event, Tracee};

/// Steps that are taken at most after a watchpoint, before the approach counts as failed.
const PATIENCE: usize = 2_000;

/// Brings `tracee`, which stands at boundary 0, to `target`.
///
/// Returns [`Event::At`] at the boundary, and [`Event::Ended`] when the tracee took another way and finished.
/// `asleep` is called whenever the tracee sleeps, and must see to it that it wakes.
///
/// # Errors
/// When the tracee dies.
pub fn reach(
    tracee: &mut Tracee,
    trace: &Trace,
    target: &Target,
    mut asleep: Option<&mut dyn FnMut()>,
) -> io::Result<Event> {
    match target.approach {
        Approach::Break { from, passes } => {
            let event = run_to(tracee, trace, from, passes, &mut asleep)?;
            step_times(tracee, event, target.index - from, &mut asleep)
        }
        Approach::Watch { entry, near, register, below } => {
            let start = Target { index: entry, approach: trace.break_for(entry) };
            if reach(tracee, trace, &start, asleep)? == Event::Ended {
                return Ok(Event::Ended);
            }
            let recorded = |index: usize| trace.points[index].pointers[register];
            let moved = pointer(tracee, register)?.wrapping_sub(recorded(entry));
            tracee.set_watchpoint(recorded(near).wrapping_add(moved).wrapping_sub(below) & !7)?;
            let event = tracee.go_on(None)?;
            tracee.clear_points()?;
            let wanted = recorded(target.index).wrapping_add(moved);
            step_until(tracee, event, trace.points[target.index].ip, register, wanted)
        }
    }
}

fn run_to(
    tracee: &mut Tracee,
    trace: &Trace,
    boundary: usize,
    passes: usize,
    asleep: &mut Option<&mut dyn FnMut()>,
) -> io::Result<Event> {
    let ip = trace.points[boundary].ip;
    if boundary == 0 {
        return Ok(Event::At(ip));
    }
    tracee.set_breakpoint(ip)?;
    let mut event = Event::At(ip);
    for _ in 0..=passes {
        event = tracee.go_on(asleep.as_ref().map(|_| ()))?;
        settle(tracee, &mut event, asleep)?;
        if event == Event::Ended {
            return Ok(event);
        }
    }
    tracee.clear_points()?;
    Ok(event)
}

fn step_times(
    tracee: &mut Tracee,
    mut event: Event,
    times: usize,
    asleep: &mut Option<&mut dyn FnMut()>,
) -> io::Result<Event> {
    for _ in 0..times {
        if event == Event::Ended {
            break;
        }
        event = tracee.step(asleep.is_some())?;
        settle(tracee, &mut event, asleep)?;
    }
    Ok(event)
}

fn step_until(
    tracee: &mut Tracee,
    mut event: Event,
    ip: u64,
    register: usize,
    wanted: u64,
) -> io::Result<Event> {
    for _ in 0..PATIENCE {
        if event == Event::Ended || (event == Event::At(ip) && pointer(tracee, register)? == wanted) {
            return Ok(event);
        }
        event = tracee.step(false)?;
    }
    tracee.go_on(None)
}

fn settle(tracee: &mut Tracee, event: &mut Event, asleep: &mut Option<&mut dyn FnMut()>) -> io::Result<()> {
    while *event == Event::Asleep {
        if let Some(wake) = asleep.as_mut() {
            wake();
        }
        *event = tracee.wait(true)?;
    }
    Ok(())
}
