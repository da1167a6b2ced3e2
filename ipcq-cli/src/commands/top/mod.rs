//! `top`: all queues, live.

mod sample;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ipcq_cli::measure::chart::scaled;
use nix::sys::signal::Signal;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::sample::{Monitor, Row};
use crate::args::{Format, TopArgs};
use crate::backend::Backends;
use crate::diagnostics::{Diagnostics, wants_colours};
use crate::failure::Failure;
use crate::output::{print, table};
use crate::signals::Interrupts;

/// How often the queues are looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the rates are measured that are printed once.
const ONCE: Duration = Duration::from_millis(250);
/// How often it is noticed that somebody wants an end.
const ATTENTION: Duration = Duration::from_millis(50);

pub(super) fn run(
    backends: &Backends,
    args: &TopArgs,
    format: Format,
    diagnostics: &Diagnostics,
) -> Result<(), Failure> {
    let mut monitor = Monitor::new(backends, &args.queues);
    monitor.check()?;
    if args.once {
        monitor.look()?;
        thread::sleep(ONCE);
        let look = monitor.look()?;
        print(&printed(&look.rows, format)?)?;
        return diagnostics.all_failed(look.failures);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::failed("top draws on a terminal, and this is none; print it once with --once"));
    }
    let unheard = |errno: nix::errno::Errno| Failure::system("signals cannot be held back", &errno.into());
    let asked = asked_to_end(Interrupts::hold().map_err(unheard)?);
    // It puts the terminal back also when there is a panic.
    let mut terminal = ratatui::try_init().map_err(|error| {
        Failure::system("the terminal cannot be drawn on; print it once with --once", &error)
    })?;
    let ended = watch(&mut monitor, &mut terminal, &asked);
    ratatui::restore();
    ended
}

/// Tells of the signals that ask for an end.
fn asked_to_end(interrupts: Interrupts) -> Receiver<Signal> {
    let (sender, asked) = channel();
    thread::spawn(move || {
        while let Some(signal) = interrupts.next() {
            let _ = sender.send(signal);
        }
    });
    asked
}

/// Looks and draws until the user has seen enough.
fn watch(
    monitor: &mut Monitor<'_>,
    terminal: &mut DefaultTerminal,
    asked: &Receiver<Signal>,
) -> Result<(), Failure> {
    let failed = |error| Failure::system("the terminal cannot be used", &error);
    let colours = wants_colours();
    loop {
        let look = monitor.look()?;
        let next = Instant::now() + INTERVAL;
        terminal.draw(|frame| view::draw(frame, &look, colours)).map_err(failed)?;
        while Instant::now() < next {
            if let Ok(signal) = asked.try_recv() {
                return Err(Failure::interrupted(signal));
            }
            if event::poll(ATTENTION).map_err(failed)? {
                match event::read().map_err(failed)? {
                    Event::Key(key) if ends(key) => return Ok(()),
                    Event::Resize(..) => {
                        terminal.draw(|frame| view::draw(frame, &look, colours)).map_err(failed)?;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Whether `key` says that the user has seen enough.
fn ends(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

fn printed(rows: &[Row], format: Format) -> Result<String, Failure> {
    if format == Format::Json {
        let lines = rows.iter().map(|row| serde_json::to_string(row).map(|line| line + "\n"));
        return lines.collect::<Result<_, _>>().map_err(|error| Failure::failed(error.to_string()));
    }
    let titles = [
        "name",
        "transport",
        "len",
        "capacity",
        "puts/s",
        "gets/s",
        "waiting_putters",
        "waiting_getters",
        "closed",
    ];
    let rate = |rate: Option<f64>| rate.map_or_else(String::new, scaled);
    let cells = rows.iter().map(|row| {
        [
            row.name.clone(),
            row.transport.to_owned(),
            row.len.to_string(),
            row.capacity.to_string(),
            rate(row.puts_per_second),
            rate(row.gets_per_second),
            row.waiting_putters.to_string(),
            row.waiting_getters.to_string(),
            if row.closed { "yes" } else { "no" }.to_owned(),
        ]
    });
    Ok(if rows.is_empty() { String::new() } else { table(&titles, &cells.collect::<Vec<_>>()) })
}
