//! What the operator wrote.

use serde::Deserialize;
use tidegate_plugin::topic;
use topic_pattern::Pattern;

use crate::script::{Argument, Limits, Needs, Script};
use crate::{Conversion, Direction, OnenetScript};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    script: String,
    #[serde(default)]
    up: Vec<Topics>,
    #[serde(default)]
    down: Vec<Topics>,
    #[serde(default)]
    on_error: OnError,
    #[serde(default)]
    down_argument: Argument,
    #[serde(default = "sixteen_kib")]
    maximum_payload: usize,
    #[serde(default = "ten_thousand")]
    maximum_loop_iterations: u64,
    #[serde(default = "a_hundred")]
    maximum_recursion: usize,
    #[serde(default = "east_of_greenwich")]
    utc_offset_minutes: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topics {
    from: String,
    to: String,
}

/// What becomes of a message that the script cannot convert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    #[default]
    Reject,
    /// acknowledged, routed to nobody
    Swallow,
    /// as it came, on the topic it came on
    Pass,
}

fn sixteen_kib() -> usize {
    16 * 1024
}

fn ten_thousand() -> u64 {
    10_000
}

fn a_hundred() -> usize {
    100
}

/// The platform's scripts run in China.
fn east_of_greenwich() -> i32 {
    8 * 60
}

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<OnenetScript, String> {
        let mut problems = Vec::new();
        let needs = Needs { up: !self.up.is_empty(), down: !self.down.is_empty() };
        if !needs.up && !needs.down {
            problems.push(
                "up, down: name the topics, as a table [[plugin.settings.up]] with `from` and `to`".into(),
            );
        }
        self.check_numbers(&mut problems);
        let mut conversions = conversions_of(&self.up, Direction::Up, &mut problems);
        conversions.extend(conversions_of(&self.down, Direction::Down, &mut problems));
        match Script::load(&self.script, needs, self.limits(), self.down_argument) {
            Ok(script) if problems.is_empty() => Ok(OnenetScript {
                script,
                conversions,
                on_error: self.on_error,
                maximum_payload: self.maximum_payload,
            }),
            Ok(_) => Err(format!("settings: {}", problems.join("; "))),
            Err(more) => {
                problems.extend(more);
                Err(format!("settings: {}", problems.join("; ")))
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            loop_iterations: self.maximum_loop_iterations,
            recursion: self.maximum_recursion,
            utc_offset_seconds: self.utc_offset_minutes.saturating_mul(60),
        }
    }

    fn check_numbers(&self, problems: &mut Vec<String>) {
        if self.maximum_payload == 0 || self.maximum_loop_iterations == 0 {
            problems
                .push("maximum-payload, maximum-loop-iterations: 0 would let nothing be converted".into());
        }
        if !(1..=1000).contains(&self.maximum_recursion) {
            problems.push("maximum-recursion: should be 1 to 1000".into());
        }
        if !(-14 * 60..=14 * 60).contains(&self.utc_offset_minutes) {
            problems.push("utc-offset-minutes: should be -840 to 840".into());
        }
    }
}

fn conversions_of(topics: &[Topics], direction: Direction, problems: &mut Vec<String>) -> Vec<Conversion> {
    let mut conversions = Vec::new();
    for (index, Topics { from, to }) in topics.iter().enumerate() {
        let place = format!("{}[{index}]", direction.name());
        match Pattern::parse(from, to) {
            Ok(_) if topic::matches(from, to) => problems.push(format!(
                "{place}: `to` is itself one of `from`: who subscribes could not tell raw messages from converted ones"
            )),
            Ok(topics) => conversions.push(Conversion { topics, direction }),
            Err(problem) => problems.push(format!("{place}: {problem}")),
        }
    }
    conversions
}
