//! A process that takes part in a test: `peer ROLE [ARGUMENT]...`. The roles are in the library, one file each.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match ipcq_tests::peer::play(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}
