//! One module per subcommand.

mod bench;
mod close;
mod create;
mod demo;
mod doctor;
mod gc;
mod get;
mod ls;
mod prometheus;
mod put;
mod rm;
mod run;
mod shell;
mod stat;
mod top;
mod worker;

use crate::args::{Args, Command, Format};
use crate::backend::Backends;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;

/// Does what the command line asks for.
pub(crate) fn run(args: &Args, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let backends = Backends::new(args.transport.as_deref());
    let is_scraped = matches!(args.command, Command::Stat(_) | Command::Ls);
    if args.format == Format::Prometheus && !is_scraped {
        return Err(Failure::failed("--format prometheus is for stat and ls; use text or json"));
    }
    match &args.command {
        Command::Demo(demo) => demo::run(&backends, *demo),
        Command::Create(create) => create::run(&backends.listening(&create.listen), create, diagnostics),
        Command::Put(put) => put::run(&backends, put, diagnostics),
        Command::Get(get) => get::run(&backends, get, diagnostics),
        Command::Stat(stat) => stat::run(&backends, &stat.queue, args.format),
        Command::Ls => ls::run(&backends, args.format, diagnostics),
        Command::Close(close) => close::run(&backends, &close.queue, diagnostics),
        Command::Rm(rm) => rm::run(&backends, &rm.queues, diagnostics),
        Command::Gc => gc::run(&backends, args.format, diagnostics),
        Command::Doctor => doctor::run(&backends, args.format),
        Command::Bench(bench) => bench::run(&backends, bench, args.format, diagnostics),
        Command::Top(top) => top::run(&backends, top, args.format, diagnostics),
        Command::Completions(completions) => shell::completions(completions.shell),
        Command::Man => shell::man(),
        Command::Run(pipeline) => run::run(&backends, pipeline, diagnostics),
        Command::Guard => run::watch(),
        Command::Keeper(create) => backends.listening(&create.listen).keep(&create.queue, &create.options()),
        Command::Worker(worker) => worker::run(&backends, *worker),
    }
}
