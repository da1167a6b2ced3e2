//! Processes that wait for several queues.

use ipcq_core::{Queue, Select, Transport};

use super::{Played, say};
use crate::process::now;

/// Waits for the queues `q0`, `q1` and so on, gets what there is until all are closed, and says of each message which queue
/// it came from, which it is, and when it arrived.
pub(super) fn and_tell(transport: &dyn Transport, count: usize) -> Played {
    let open = |number| Queue::<u64>::open(transport, &format!("q{number}"));
    let queues = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
    let mut select = Select::new();
    for queue in &queues {
        select.add(queue);
    }
    say("ready")?;
    while let Some(index) = select.ready() {
        let arrived = now();
        match queues[index].try_get() {
            Ok(message) => say(&format!("{index} {message} {arrived}"))?,
            Err(error) if error.is_closed() => select.remove(index),
            Err(error) if error.is_empty() || error.is_busy() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
