//! What a call costs: time and memory without fuel metering, as in the broker, and fuel with it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::engine::Fuel;
use super::super::error::PluginError;
use super::super::options::PluginOptions;
use super::answer::Outcome;
use super::case::{Case, CaseFile};
use super::{Difference, Harness};

/// What one case costs.
#[derive(Clone, Debug)]
pub struct Price {
    pub case: String,
    pub calls: u64,
    /// Of one call: the median over rounds of calls.
    pub nanoseconds: f64,
    pub fuel: u64,
    /// Bytes of linear memory of the plugin's largest instance so far.
    pub memory: u64,
    /// Bytes of its tables.
    pub tables: u64,
}

/// Calls between two looks at the clock.
const ROUND: u32 = 64;

impl Harness {
    /// Loads the plugin as the broker does, without metering fuel.
    ///
    /// # Errors
    /// What the broker would say about the plugin.
    pub fn load_unmetered(
        options: PluginOptions,
        file: &CaseFile,
        cache_dir: Option<PathBuf>,
    ) -> Result<Harness, PluginError> {
        Harness::with(Fuel::Unmetered, options, file, cache_dir)
    }

    /// How long it takes to make an instance and call its `init`: the median of some.
    ///
    /// # Errors
    /// Where that does not work every time.
    pub fn instantiation_time(&self) -> Result<Duration, String> {
        let mut times = Vec::new();
        for _ in 0..16 {
            let begun = Instant::now();
            self.version.new_instance().map_err(|error| error.to_string())?;
            times.push(begun.elapsed());
        }
        times.sort();
        Ok(times[times.len() / 2])
    }

    /// Asks a case again and again for so long. Every call has to answer as the first did, and that as the case
    /// expects; what differs is told instead of a figure.
    ///
    /// # Errors
    /// What differs.
    pub fn measure(&mut self, case: &Case, time: Duration) -> Result<Price, Vec<Difference>> {
        let (first, differences) = self.run(case);
        if !differences.is_empty() {
            return Err(differences);
        }
        let expected = self.call(&case.question).mark();
        self.take_requests();
        let (begun, mut rounds, mut calls) = (Instant::now(), Vec::new(), 0);
        while begun.elapsed() < time {
            let round = Instant::now();
            for _ in 0..ROUND {
                let outcome = self.call(&case.question);
                if outcome.mark() != expected {
                    return Err(vec![unsteady(&outcome, calls)]);
                }
                calls += 1;
                self.given.advance(case.after_ms);
            }
            rounds.push(round.elapsed());
            // What was asked of the broker and written to the log is not to fill up.
            self.take_requests();
            self.given.begin();
        }
        let last = self.ask(&case.question);
        if last.verdict() != first.verdict() {
            return Err(vec![unsteady(&Outcome::Failed(last.verdict().to_owned()), calls)]);
        }
        rounds.sort();
        let median = rounds[rounds.len() / 2].as_nanos() as f64 / f64::from(ROUND);
        Ok(Price {
            case: case.name.clone(),
            calls,
            nanoseconds: median,
            fuel: first.fuel.unwrap_or_default(),
            memory: self.version.lasting.memory.highest(),
            tables: self.version.lasting.memory.highest_tables(),
        })
    }
}

fn unsteady(outcome: &Outcome, calls: u64) -> Difference {
    let found = match outcome {
        Outcome::Failed(error) => error.clone(),
        _ => "another verdict or Reason Code".to_owned(),
    };
    Difference {
        field: format!("call {}", calls + 2),
        expected: "what the first call answered".into(),
        found,
    }
}
