//! The command line of `tidegate` itself; those of `pub`, `sub` and `rpc` are with them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::exit::EXIT_CODES;
use super::publish::PublishArguments;
use super::request::RequestArguments;
use super::subscribe::SubscribeArguments;
use crate::admin::AdminAddress;
use crate::config::{self, Level};

/// An MQTT 3.1.1 and 5.0 broker whose behaviour is written as WebAssembly plugins.
///
/// Start it with `tidegate run`, listen with `tidegate sub -t '#' -v` in a second terminal, and publish with
/// `tidegate pub -t greeting -m hello` in a third.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(RunArguments),
    Check(CheckArguments),
    #[command(subcommand)]
    Plugin(PluginCommand),
    #[command(subcommand)]
    Store(super::store::StoreCommand),
    #[command(subcommand)]
    Bans(super::bans::BansCommand),
    Passwd(super::passwd::PasswdArguments),
    Pub(Box<PublishArguments>),
    Sub(Box<SubscribeArguments>),
    Bench(Box<super::bench::BenchArguments>),
    Rpc(Box<RequestArguments>),
}

/// Run the broker
///
/// Without a configuration file it listens on 127.0.0.1:1883 and lets every client of this machine do
/// everything; nobody else reaches it. With one, the file says who may do what: see
/// examples/config/tidegate.toml, and try it with `tidegate check` first.
///
/// It stops at Ctrl-C or SIGTERM, after telling its clients (DISCONNECT 0x8B). SIGHUP makes it read the
/// configuration and the files that it names again: listeners, limits, plugins and the level of the log change while
/// clients stay connected.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, after_long_help = long(RUN_EXAMPLES))]
pub(super) struct RunArguments {
    /// The configuration, a TOML file
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Listen here and nowhere else; may be given several times
    ///
    /// Without a configuration file, clients of a loopback address may do everything. Through any other address
    /// nobody is let in, because there is no plugin to decide who may.
    #[arg(short, long, value_name = "ADDR:PORT", value_parser = config::parse_address)]
    pub(super) listen: Vec<SocketAddr>,
    /// Keep sessions, what waits for them and retained messages in this folder
    ///
    /// It is made where it is not there. What is acknowledged is on the disk. Stands for a section [storage] of the
    /// configuration, and overrules where that keeps state.
    #[arg(short, long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// error, warn, info, debug or trace; overrules the configuration
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub(super) log: Option<Level>,
}

const RUN_EXAMPLES: &str = "\
Examples:
  tidegate run
  tidegate run --listen 127.0.0.1:1884 --log debug
  tidegate run --data /var/lib/tidegate
  tidegate run --config tidegate.toml";

/// Check a configuration without running it
///
/// Reads the file, loads each plugin and starts it once, and reports every problem with its line and key. Ends with
/// 64 where there is one; prints what was found where there is none.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES, after_long_help = long(CHECK_EXAMPLES))]
pub(super) struct CheckArguments {
    /// The configuration, a TOML file
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

const CHECK_EXAMPLES: &str = "\
Example:
  tidegate check --config tidegate.toml";

/// Make plugins, test them, measure them, look at them
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins of a broker or of a configuration in the order in which they are asked
    ///
    /// Where the configuration has an [admin] section and the broker runs, it says what each plugin did: calls,
    /// verdicts, failures, times, memory, the last error. Else it shows what the files are.
    #[command(after_help = LIST_EXAMPLES, after_long_help = long(LIST_EXAMPLES))]
    List(ListArguments),
    /// Show what a plugin file is: its hooks, what it wants and has to be granted, whether this broker can run it
    ///
    /// Nothing in the file is run. Ends with 64 where this broker cannot run it, and says what to do.
    #[command(after_help = INSPECT_EXAMPLES, after_long_help = long(INSPECT_EXAMPLES))]
    Inspect {
        /// A component or a core module
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    #[cfg(feature = "wasm")]
    New(super::develop::NewArguments),
    #[cfg(feature = "wasm")]
    Build(super::develop::BuildArguments),
    #[cfg(feature = "wasm")]
    Test(super::harness_arguments::TestArguments),
    #[cfg(feature = "wasm")]
    Bench(super::harness_arguments::BenchArguments),
    #[cfg(feature = "wasm")]
    RunHook(super::harness_arguments::RunHookArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// The configuration, a TOML file
    #[arg(short, long, value_name = "FILE", default_value = "tidegate.toml")]
    pub(super) config: PathBuf,
    /// The admin port of a running broker, instead of the one that the configuration names
    ///
    /// Its token, where it wants one, is taken from the environment variable TIDEGATE_ADMIN_TOKEN.
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    pub(super) admin: Option<AdminAddress>,
    /// Print what the broker says as JSON
    #[arg(long)]
    pub(super) json: bool,
}

const LIST_EXAMPLES: &str = "\
Examples:
  tidegate plugin list --config tidegate.toml
  tidegate plugin list --admin 127.0.0.1:9883
  tidegate plugin list --admin unix:/run/tidegate/admin.sock --json";

const INSPECT_EXAMPLES: &str = "\
Examples:
  tidegate plugin inspect payload-filter.wasm
  tidegate plugin inspect payload-filter.wasm --json";

/// Examples and exit codes.
pub(super) fn long(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES}")
}

fn parse_level(text: &str) -> Result<Level, String> {
    let found = Level::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, level)| *level).ok_or_else(|| "write error, warn, info, debug or trace".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
