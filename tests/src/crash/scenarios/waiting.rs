//! Deaths of a process that waits, asleep or just woken.

use ipcq_core::{QueueOptions, Wait};

use crate::crash::{Cell, How, Message, Scenario, Visits, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(Waiting { name: "get_waiting", puts: false }),
        Box::new(Waiting { name: "put_waiting", puts: true }),
    ]
}

/// A get from an empty queue into which something is put while it sleeps, or a put into a full one from which
/// something is taken.
struct Waiting {
    name: &'static str,
    puts: bool,
}

const FIRST: Message = message(300, 64);
const OWN: Message = message(7, 64);

impl Scenario for Waiting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(1)
    }

    fn visits(&self, _: usize) -> Visits {
        // Most instructions look whether anything has changed, again and again.
        Visits::Edges
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        if self.puts {
            cell.queue.put(&[&FIRST.bytes()], Wait::No).map_err(|fault| fault.to_string())?;
        }
        Ok(())
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let bytes = OWN.bytes();
        let mut taken = Vec::with_capacity(4096);
        if self.puts {
            Box::new(move || cell.queue.put(&[&bytes], Wait::Forever).expect("a put"))
        } else {
            Box::new(move || cell.queue.get(&mut taken, Wait::Forever).expect("a get"))
        }
    }

    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        Some(if self.puts { make_room } else { put_first })
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let stat = cell.queue.stat().map_err(|error| error.to_string())?;
        if (stat.waiting_getters, stat.waiting_putters) != (0, 0) {
            return Err(format!("a dead process waits: {stat:?}"));
        }
        // One message was put and taken when the process was warmed.
        let was_woken = if self.puts { stat.gets > 1 } else { stat.puts > 1 };
        let (not_done, done) = if self.puts { (vec![], vec![OWN]) } else { (vec![FIRST], vec![]) };
        match (was_woken, how) {
            (false, How::After) => Err("it went on, and nobody let it".to_owned()),
            (false, _) => survey(cell, &[if self.puts { vec![FIRST] } else { vec![] }]),
            (true, How::After) => survey(cell, &[done]),
            (true, _) => survey(cell, &[not_done, done]),
        }
    }
}

/// Lets the sleeping putter go on; nothing if that was done before.
fn make_room(cell: &mut Cell<'_>) {
    let stat = cell.queue.stat().expect("a queue in order");
    if stat.gets == 1 {
        cell.queue.get(&mut Vec::new(), Wait::No).expect("a message in the way");
    }
}

/// Lets the sleeping getter go on; nothing if that was done before.
fn put_first(cell: &mut Cell<'_>) {
    let stat = cell.queue.stat().expect("a queue in order");
    if stat.puts == 1 {
        cell.queue.put(&[&FIRST.bytes()], Wait::No).expect("room for a message");
    }
}
