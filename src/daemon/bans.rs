//! `tidegate bans`: who is shut out of a running broker, and who is let in again.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::arguments::long;
use super::ask::{not_answered, not_understood, port, shown};
use super::exit::{Failure, print};
use crate::admin::fetch::{fetch, lift};
use crate::admin::{AdminAddress, AdminOptions};

/// See who is shut out of a running broker, and let them in again
#[derive(Debug, Subcommand)]
pub(super) enum BansCommand {
    /// List the addresses, and names at addresses, that are shut out, with the reason and the time that is left
    #[command(after_help = LIST_EXAMPLES, after_long_help = long(LIST_EXAMPLES))]
    List {
        #[command(flatten)]
        broker: BrokerArguments,
        /// Print what the broker says as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an address or a name in again before its time is over
    ///
    /// An address: all bans of it, and of names at it; one of IPv6 stands for the range of 64 bits that it is in. A name:
    /// its bans at all addresses. What counted against them is forgotten. Ends with 64 where nobody of that is shut out.
    #[command(after_help = LIFT_EXAMPLES, after_long_help = long(LIFT_EXAMPLES))]
    Lift {
        /// As `tidegate bans list` shows it
        #[arg(value_name = "ADDRESS-OR-NAME")]
        whom: String,
        #[command(flatten)]
        broker: BrokerArguments,
    },
}

#[derive(Debug, Args)]
pub(super) struct BrokerArguments {
    /// The configuration, a TOML file, which names the admin port
    #[arg(short, long, value_name = "FILE", default_value = "tidegate.toml")]
    config: PathBuf,
    /// The admin port of a running broker, instead of the one that the configuration names
    ///
    /// Its token, where it wants one, is taken from the environment variable TIDEGATE_ADMIN_TOKEN.
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    admin: Option<AdminAddress>,
}

const LIST_EXAMPLES: &str = "\
Examples:
  tidegate bans list --config tidegate.toml
  tidegate bans list --admin unix:/run/tidegate/admin.sock --json";

const LIFT_EXAMPLES: &str = "\
Examples:
  tidegate bans lift 192.0.2.7 --admin 127.0.0.1:9883
  tidegate bans lift 2001:db8:1:2::/64
  tidegate bans lift ada";

/// What `/bans` answers.
#[derive(Deserialize)]
struct Answer {
    bans: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    address: String,
    name: Option<String>,
    cause: String,
    left_seconds: u64,
}

#[derive(Deserialize)]
struct Lifted {
    lifted: u64,
}

pub(super) fn run(command: &BansCommand) -> Result<(), Failure> {
    match command {
        BansCommand::List { broker, json } => list(&broker.port()?, *json),
        BansCommand::Lift { whom, broker } => lift_bans_of(whom, &broker.port()?),
    }
}

impl BrokerArguments {
    fn port(&self) -> Result<AdminOptions, Failure> {
        port(self.admin.as_ref(), &self.config).ok_or_else(|| {
            Failure::usage("name the broker's admin port with --admin, or in the configuration ([admin])")
        })
    }
}

fn list(port: &AdminOptions, json: bool) -> Result<(), Failure> {
    let answer = fetch(&port.listen, "/bans", port.token.as_deref()).map_err(|error| not_answered(&error))?;
    if json {
        return print(&format!("{}\n", answer.trim_end()));
    }
    let answer: Answer =
        serde_json::from_str(&answer).map_err(|error| not_understood(&port.listen, &error))?;
    print(&described(&answer.bans))
}

fn described(bans: &[Ban]) -> String {
    let mut text = String::new();
    if bans.is_empty() {
        text.push_str("nobody is shut out\n");
    }
    for Ban { address, name, cause, left_seconds } in bans {
        let name = name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        let left = Duration::from_secs(*left_seconds);
        let _ = writeln!(text, "{}{name}: {} ({left:?} left)", shown(address), shown(cause));
    }
    text
}

fn lift_bans_of(whom: &str, port: &AdminOptions) -> Result<(), Failure> {
    let answer = lift(&port.listen, whom, port.token.as_deref()).map_err(|error| not_answered(&error))?;
    let Lifted { lifted } =
        serde_json::from_str(&answer).map_err(|error| not_understood(&port.listen, &error))?;
    match lifted {
        0 => Err(Failure::usage(format!("nobody is shut out as {whom:?}"))),
        1 => print("1 ban lifted\n"),
        more => print(&format!("{more} bans lifted\n")),
    }
}
