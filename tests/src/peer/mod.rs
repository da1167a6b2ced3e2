//! What the program `peer` does: one file per role or kin of roles, chosen by its first argument.

mod fork;
mod history;
mod passing;
mod selecting;
mod share;
mod stream;
mod waiting;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;

use crate::transports::transport;

/// What a role ends with.
pub type Played = Result<(), Box<dyn Error>>;

/// No role takes longer, whatever its tests do.
const LIMIT: Duration = Duration::from_secs(120);

/// Plays the role that `arguments` name, with the queues of the transport and in the directory that follow the name.
///
/// # Errors
/// What went wrong, for the test that started the process.
pub fn play(arguments: &[String]) -> Played {
    let _watchdog = Watchdog::start(&format!("peer {}", arguments.join(" ")), LIMIT);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [role, transport_name, directory, ref rest @ ..] = arguments[..] else {
        return Err("peer ROLE TRANSPORT DIRECTORY ...".into());
    };
    let transport = transport(transport_name, Path::new(directory)).ok_or("there is no such transport")?;
    let transport = &*transport;
    match (role, rest) {
        ("history", [seat]) => history::take_part(transport, seat.parse()?),
        ("put", [queue, producer, count]) => stream::put(transport, queue, producer.parse()?, count.parse()?),
        ("get", [queue]) => stream::get(transport, queue),
        ("put-inherited", [text]) => passing::put_inherited(transport, text),
        ("pass-on-inherited", [text]) => passing::pass_on_inherited(transport, text),
        ("answer", [carrier]) => passing::answer(transport, carrier),
        ("fork", [queue]) => fork::put_on_both_sides(transport, queue),
        ("fork-futures", [queue]) => fork::wait_in_futures_on_both_sides(transport, queue),
        ("fork-lending", [queue]) => fork::lend_on_both_sides(transport, queue),
        ("fork-holding", [queue]) => fork::hold_on_both_sides(transport, queue),
        ("fork-waiting", [queue]) => fork::wait_on_both_sides(transport, queue),
        ("share-of-puts", [queue]) => share::puts(transport, queue),
        ("share-of-gets", [queue]) => share::gets(transport, queue),
        ("select", [count]) => selecting::and_tell(transport, count.parse()?),
        ("hold", [queue, count]) => waiting::with_deliveries(transport, queue, count.parse()?),
        ("hold-inherited", [count]) => waiting::with_inherited_deliveries(transport, count.parse()?),
        ("wait", [queue]) => waiting::for_a_message(transport, queue),
        ("wait-and-time", [queue]) => waiting::for_messages_and_tell_when(transport, queue),
        ("wait-despite-signals", [queue, millis]) => {
            waiting::despite_signals(transport, queue, Duration::from_millis(millis.parse()?))
        }
        _ => Err("there is no such role".into()),
    }
}

/// Says one line to the test.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
