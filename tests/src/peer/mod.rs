//! What the program `peer` does: one file per role, chosen by its first argument.

mod history;

use std::error::Error;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;

/// What a role ends with.
pub type Played = Result<(), Box<dyn Error>>;

/// No role takes longer, whatever its tests do.
const LIMIT: Duration = Duration::from_secs(120);

/// Plays the role that `arguments` name.
///
/// # Errors
/// What went wrong, for the test that started the process.
pub fn play(arguments: &[String]) -> Played {
    let _watchdog = Watchdog::start(&format!("peer {}", arguments.join(" ")), LIMIT);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["history", directory, seat] => history::take_part(directory, seat.parse()?),
        _ => Err("there is no such role".into()),
    }
}
