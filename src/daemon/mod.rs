//! The command `tidegate`: arguments, log output, signals, exit codes.
//!
//! It turns a configuration into a running [`server`](crate::server) with its plugins, and carries the small
//! clients `pub`, `sub` and `rpc`. Everything it does can be had without it: see `server`, `plugin` and `client`.

mod announce;
mod arguments;
mod ask;
mod bans;
mod bench;
#[cfg(feature = "wasm")]
mod cases;
mod check;
mod connect;
#[cfg(feature = "wasm")]
mod develop;
mod exit;
mod format;
#[cfg(feature = "wasm")]
mod harness_arguments;
#[cfg(feature = "wasm")]
mod inspect;
mod log;
mod passwd;
#[cfg(feature = "wasm")]
mod plugin_bench;
#[cfg(feature = "wasm")]
mod plugin_host;
#[cfg(feature = "wasm")]
mod plugin_test;
mod plugins;
mod publish;
mod reload;
mod request;
mod run;
#[cfg(feature = "wasm")]
mod run_hook;
#[cfg(feature = "wasm")]
mod running;
mod signals;
mod storage;
mod store;
mod subscribe;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command, PluginCommand};
use exit::{Exit, Failure};
#[doc(hidden)]
pub use format::printed;

/// The whole program: reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    #[cfg(feature = "wasm")]
    crate::plugin::compile_if_asked();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    exit::finish(match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => on_one_thread(check::run(&arguments.config)),
        Command::Plugin(command) => look_at_plugins(&command),
        Command::Store(command) => store::run(&command),
        Command::Bans(command) => bans::run(&command),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Pub(arguments) => on_one_thread(publish::run(*arguments)),
        Command::Sub(arguments) => on_one_thread(subscribe::run(*arguments)),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Rpc(arguments) => on_one_thread(request::run(*arguments)),
    })
}

#[cfg(feature = "wasm")]
fn look_at_plugins(command: &PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::List(arguments) => running::list(arguments),
        PluginCommand::Inspect { file, json } => inspect::inspect(file, *json),
        PluginCommand::New(arguments) => develop::new(arguments),
        PluginCommand::Build(arguments) => develop::build(arguments),
        PluginCommand::Test(arguments) => plugin_test::run(arguments),
        PluginCommand::Bench(arguments) => plugin_bench::run(arguments),
        PluginCommand::RunHook(arguments) => run_hook::run(arguments),
    }
}

#[cfg(not(feature = "wasm"))]
fn look_at_plugins(_: &PluginCommand) -> Result<(), Failure> {
    Err(Failure::usage(exit::NO_WASM))
}

/// Help and version are an answer, anything else is a mistake in the command line.
fn not_understood(error: &clap::Error) -> ExitCode {
    // Where not even stderr can be written, nobody is there to be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Usage as u8),
    }
}

fn on_one_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("start", &error))?;
    runtime.block_on(work)
}
