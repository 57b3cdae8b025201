//! The `weir` program: parses, dispatches, and prints what failed as one line.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use weir::app;
use weir::cli::{Cli, Command, EXIT_OWN_FAILURE, one_line};

fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(status) => status,
        Err(error) => {
            // Standard error may be closed; the status says it as well.
            let _unheard = writeln!(std::io::stderr(), "weir: {}", one_line(&error));
            ExitCode::from(EXIT_OWN_FAILURE)
        }
    }
}

fn run(line: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    match Cli::try_parse_from(line) {
        Ok(cli) => match cli.command {
            Command::Exec(args) => app::exec::run(args),
            Command::Doctor(args) => app::doctor::run(&args),
            Command::Status(args) => app::status::run(&args),
            Command::Trace(args) => app::trace::run(&args),
            Command::Init(args) => app::init::run(&args),
            Command::Detach(args) => app::detach::run(&args),
            Command::Prices(args) => app::prices::run(&args),
            Command::Wait(args) => app::wait::run(&args),
            Command::Inject(args) => app::inject::run(&args),
            Command::Proxy(args) => app::proxy::run(args),
            Command::SupervisedProxy(args) => {
                // It was executed through /proc/self/exe, and would be called that.
                nix::sys::prctl::set_name(c"weir-proxy")?;
                app::proxy::run_supervised(args)
            }
        },
        Err(error) => {
            error.print()?;
            // Help goes to standard output. For the rest not clap's 2, which the
            // command could have ended with.
            Ok(if error.use_stderr() {
                ExitCode::from(EXIT_OWN_FAILURE)
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}
