//! The command lines of `plugin test`, `plugin bench` and `plugin run-hook`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::arguments::long;
use crate::config;

/// Run a plugin against cases, without a broker
///
/// Each case is one call: an input, the state and the time given, and what is expected of the answer. The clock
/// stands still, chance comes from a seed: the same file gives the same result everywhere. The plugin guide
/// (plugins/README.md) describes the format. Ends with 1 where a case fails.
#[derive(Debug, Args)]
#[command(after_help = TEST_EXAMPLES, after_long_help = long(TEST_EXAMPLES))]
pub(super) struct TestArguments {
    /// A component or a core module
    #[arg(value_name = "PLUGIN.wasm")]
    pub(super) plugin: PathBuf,
    /// A TOML file, or JSON lines where its name ends in .jsonl; may be given several times
    ///
    /// Without it: tests/cases.toml beside the plugin, or in a folder above it.
    #[arg(short, long, value_name = "FILE")]
    pub(super) cases: Vec<PathBuf>,
    /// Fail a case that spends more fuel
    #[arg(long, value_name = "N")]
    pub(super) max_fuel: Option<u64>,
    /// Report only cases with this in their name; the others are run too, as state carries over
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Print one JSON object per case
    #[arg(long)]
    pub(super) json: bool,
}

const TEST_EXAMPLES: &str = "\
Examples:
  tidegate plugin test no_secrets.wasm
  tidegate plugin test no_secrets.wasm --cases tests/cases.toml --max-fuel 50000
  tidegate plugin test no_secrets.wasm --filter secret --json";

/// Measure what a call costs: time, fuel, memory, instantiation
///
/// Asks each case of a hook again and again, on one thread, and gives the median. The time includes what the broker
/// spends on the call; the memory is what an instance has after it, in linear memory and tables. Every answer is
/// compared with the first, and that with what the case expects: a plugin that does not answer as expected gets no
/// figure.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES, after_long_help = long(BENCH_EXAMPLES))]
pub(super) struct BenchArguments {
    /// A component or a core module
    #[arg(value_name = "PLUGIN.wasm")]
    pub(super) plugin: PathBuf,
    /// Only the cases of this hook
    #[arg(long, value_name = "HOOK")]
    pub(super) hook: Option<String>,
    /// As for `plugin test`
    #[arg(short, long, value_name = "FILE")]
    pub(super) cases: Vec<PathBuf>,
    /// Measure only cases with this in their name; the others are asked once, as state carries over
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// How long each case is asked: `1s`, `500ms`
    #[arg(long = "for", value_name = "TIME", default_value = "1s", value_parser = config::parse_time)]
    pub(super) time: Duration,
    /// Print one JSON object per case
    #[arg(long)]
    pub(super) json: bool,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  tidegate plugin bench no_secrets.wasm
  tidegate plugin bench no_secrets.wasm --hook intercepting-publish --cases tests/cases.toml --for 3s";

/// Call one hook once, and print the answer as JSON
///
/// The input has the keys of `[case.input]` in a file of cases.
#[derive(Debug, Args)]
#[command(after_help = RUN_HOOK_EXAMPLES, after_long_help = long(RUN_HOOK_EXAMPLES))]
pub(super) struct RunHookArguments {
    /// A component or a core module
    #[arg(value_name = "PLUGIN.wasm")]
    pub(super) plugin: PathBuf,
    /// The hook, as it is named in the configuration, or `init`, which is asked with the settings
    #[arg(value_name = "HOOK")]
    pub(super) hook: String,
    /// A JSON object, or @ and the name of a file that holds one
    #[arg(short, long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(super) input: String,
    /// The plugin's settings, in the same form
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(super) settings: String,
    /// What the plugin is granted, with the keys of [plugin.grants], in the same form
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(super) grants: String,
    /// What is in the plugin's state, in the same form
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(super) state: String,
    /// The time, in milliseconds since 1970
    #[arg(long, value_name = "N")]
    pub(super) now_ms: Option<u64>,
}

const RUN_HOOK_EXAMPLES: &str = r#"Examples:
  tidegate plugin run-hook no_secrets.wasm intercepting-publish --input '{"topic": "a", "payload": "x"}'
  tidegate plugin run-hook no_secrets.wasm authorizer --input @input.json --settings @settings.json"#;
