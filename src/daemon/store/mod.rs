//! `tidegate store`: looks at what a broker keeps, and moves it: `check` and `stats` read and count, `export` and
//! `import` write it as a text and read it again, also MQTTnet's files of retained messages.
//!
//! What a text is, and what is counted, is the business of [`storage`](crate::storage): its `transfer` and `Survey`.

mod check;
mod export;
mod import;
mod place;
mod stats;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};

use super::arguments::long;
use super::exit::Failure;
use crate::message::Timestamp;
use place::Place;

/// Check, move and measure what a broker keeps
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    Check(CheckArguments),
    Stats(StatsArguments),
    Export(ExportArguments),
    Import(ImportArguments),
}

/// Read all that is kept and look whether it is sound
///
/// Not a byte is changed. Beside what the database says of itself, it looks for messages and sessions that
/// are not there although something refers to them, and for identifiers that are in use twice. Ends with 74 where it
/// finds something. A broker must not run on it meanwhile.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES, after_long_help = long(CHECK_EXAMPLES))]
pub(super) struct CheckArguments {
    #[command(flatten)]
    place: Place,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  tidegate store check --data /var/lib/tidegate
  tidegate store check --config tidegate.toml";

/// Show how much is kept: sessions, messages, state of plugins
///
/// Not a byte is changed. A broker must not run on it meanwhile; one that runs says what it has on its admin port.
#[derive(Debug, Args)]
#[command(after_help = STATS_EXAMPLES, after_long_help = long(STATS_EXAMPLES))]
pub(super) struct StatsArguments {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const STATS_EXAMPLES: &str = "\
Examples:
  tidegate store stats --data /var/lib/tidegate
  tidegate store stats --data /var/lib/tidegate --json";

/// Write all that is kept as lines of JSON
///
/// The first line names the format, each of the others is one thing that is kept (bytes are base64), the last one says
/// how many there are. Passwords are not among them, messages are.
///
/// Nothing is changed. A broker must not run on it meanwhile: it is refused as in use.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES, after_long_help = long(EXPORT_EXAMPLES))]
pub(super) struct ExportArguments {
    #[command(flatten)]
    place: Place,
    /// A file that is not there yet, or `-` for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  tidegate store export --data /var/lib/tidegate backup.jsonl
  tidegate store export --data old - | tidegate store import --url-file database.url -";

/// Put what was exported into an empty place, or MQTTnet's retained messages
///
/// The file is read whole first: where a line is wrong, its number is told and nothing is changed. What comes by
/// standard input or a pipe lies in the folder for temporary files (TMPDIR) meanwhile.
///
/// Of servers made with MQTTnet it takes the JSON file in which they keep retained messages: a list of the model in
/// MQTTnet's sample (RetainedMessages.json), or of its messages (MqttApplicationMessage). What expires there does so as
/// if it were published now.
///
/// It is committed in parts: one that was interrupted leaves some of it, and is done again with --replace.
///
/// A broker must not run on the place meanwhile.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES, after_long_help = long(IMPORT_EXAMPLES))]
pub(super) struct ImportArguments {
    #[command(flatten)]
    place: Place,
    /// What `export` wrote, or a file of MQTTnet; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Delete what is there first
    #[arg(long, conflicts_with = "merge")]
    replace: bool,
    /// Put retained messages beside what is there; one with the same topic takes the other's place
    ///
    /// The file may have nothing but retained messages then.
    #[arg(long)]
    merge: bool,
    /// What the file is; found out where it is not given
    #[arg(long, value_enum)]
    format: Option<FormatName>,
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  tidegate store import --data /var/lib/tidegate backup.jsonl
  tidegate store import --data /var/lib/tidegate --replace backup.jsonl
  tidegate store import --data /var/lib/tidegate --merge RetainedMessages.json";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// Lines of JSON, from `export`
    Tidegate,
    /// A list of retained messages
    Mqttnet,
}

pub(super) fn run(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Check(arguments) => check::run(&arguments.place),
        StoreCommand::Stats(arguments) => stats::run(&arguments.place, arguments.json),
        StoreCommand::Export(arguments) => export::run(&arguments.place, &arguments.file),
        StoreCommand::Import(arguments) => import::run(arguments),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(since)
}
