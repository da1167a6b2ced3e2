//! `completions` and `man`: what shells and readers of manuals want to know of the command line.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;
use crate::failure::Failure;
use crate::output::print;

/// Prints the completions for `shell`.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "ipcq", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints one page of the manual with all commands.
pub(super) fn man() -> Result<(), Failure> {
    let mut program = Args::command();
    program.build();
    page(&program)
        .map_err(|error| Failure::system("the manual could not be written", &error))
        .and_then(|page| print(&page))
}

fn page(program: &Command) -> io::Result<String> {
    let man = Man::new(program.clone()).manual("ipcq");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        if command.get_name() != "help" {
            writeln!(page, ".SH \"ipcq {}\"", command.get_name())?;
            page.extend(part(command)?);
        }
    }
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// What a page says of `command`, as part of a larger one. Options that all commands have are said once, for all.
fn part(command: &Command) -> io::Result<Vec<u8>> {
    let own = command.clone().mut_args(|argument| {
        let everywhere = argument.is_global_set() || argument.get_id() == "help";
        argument.hide(everywhere)
    });
    let man = Man::new(own.disable_help_subcommand(true));
    let mut part = Vec::new();
    man.render_synopsis_section(&mut part)?;
    man.render_description_section(&mut part)?;
    man.render_options_section(&mut part)?;
    Ok(String::from_utf8_lossy(&part).replace(".SH ", ".SS ").into_bytes())
}
