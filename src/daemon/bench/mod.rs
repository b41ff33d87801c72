//! `tidegate bench`: puts load on a broker and says how it did.
//!
//! - [`plan`]: what is asked for
//! - [`worker`]: a thread with its share of the clients; [`connect`], [`traffic`] and [`offline`] are what they do
//! - [`stamp`]: what a payload says about itself, so that who gets it knows how long it took and whether one is missing
//! - [`tally`]: what was counted and measured
//! - [`report`]: the same as a table and as JSON

mod connect;
mod offline;
mod plan;
mod report;
mod stamp;
mod tally;
#[cfg(test)]
mod tests;
mod traffic;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::arguments::long;
use super::connect::{ClientArguments, parse_qos, parse_seconds};
use super::exit::{Exit, Failure};
use crate::packet::QoS;
use plan::Plan;

/// Put load on a broker and say how it does
///
/// Clients are connected, then messages flow for --warm-up and --seconds, of which the latter are counted; then is waited for
/// what is still under way. CPU and memory of the broker are not looked at: measure them beside it. The clients share
/// --threads, whose own CPU is a limit too: where they are busy all the time, it is not the broker that is measured.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
pub(super) struct BenchArguments {
    /// What the clients do
    #[arg(value_enum)]
    scenario: Scenario,
    /// connect: how many clients
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// How many clients publish
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    publishers: u32,
    /// How many clients subscribe
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// QoS of messages and subscriptions
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(stamp::SIZE as i64..=1 << 28))]
    size: u32,
    /// Messages that a publisher has under way at a time
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    window: u32,
    /// Messages per second of each publisher; without it, as fast as --window allows
    #[arg(long, value_name = "COUNT", value_parser = parse_rate)]
    rate: Option<f64>,
    /// How long is counted
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    seconds: std::time::Duration,
    /// How long messages flow before that
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    warm_up: std::time::Duration,
    /// offline: messages for each session that is away
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Clients that connect at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// Threads of the clients; without it, half of the machine's processors
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// The first level of all topics
    #[arg(long, value_name = "TOPIC", default_value = "tidegate-bench", value_parser = parse_level)]
    topic: String,
    /// Write what was measured to this file, as one line of JSON; -: to stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Clients connect, and are there for --seconds
    Connect,
    /// Publishers alone: nobody subscribes
    Publish,
    /// Every subscriber gets the messages of all publishers
    Subscribe,
    /// Each publisher has a subscriber of its own
    Pairs,
    /// The subscribers share one subscription: each message goes to one of them
    Shared,
    /// Sessions of subscribers are away while messages come for them, then they come back
    Offline,
}

const EXAMPLES: &str = "\
Examples:
  tidegate bench connect --clients 5000
  tidegate bench pairs --publishers 50 -q 1
  tidegate bench subscribe --publishers 1 --subscribers 500 --rate 100
  tidegate bench shared -V mqttv5 -q 1 --subscribers 4 --json -
  tidegate bench offline --subscribers 1000 --messages 100 -q 1";

pub(super) fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    let plan = Plan::new(arguments)?;
    let (scenario, json) = (arguments.scenario, arguments.json.as_deref());
    if json != Some(Path::new("-")) {
        eprintln!("{}", report::intention(&plan));
    }
    let tally = worker::run(plan.clone())?;
    let report = report::Report::new(&plan, &tally);
    let line = || serde_json::to_string(&report).map_err(|error| Failure::internal("write JSON", &error));
    match json {
        Some(file) if file == Path::new("-") => println!("{}", line()?),
        Some(file) => {
            println!("{}", report.table());
            let write = |error| Failure::new(Exit::Internal, format!("write {}: {error}", file.display()));
            fs::write(file, line()? + "\n").map_err(write)?;
        }
        None => println!("{}", report.table()),
    }
    match tally.fault(scenario, plan.qos) {
        Some(fault) => Err(Failure::new(Exit::Unavailable, fault)),
        None => Ok(()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0 && *rate <= 1e7);
    rate.ok_or_else(|| "write a number above 0".to_owned())
}

fn parse_level(text: &str) -> Result<String, String> {
    let is_level = !text.is_empty() && !text.starts_with('$') && !text.contains(['/', '+', '#', '\0']);
    if is_level {
        Ok(text.to_owned())
    } else {
        Err("write one level of a topic, without $, /, + and #".to_owned())
    }
}
