//! `tidegate check`: all that can be wrong with a configuration, before it is used.

use std::fmt::Write as _;
use std::path::Path;

use super::announce::{self, Decided};
use super::exit::{Failure, print};
use super::plugins::{self, Loaded};
use crate::config::{Config, Problem};

pub(super) async fn run(file: &Path) -> Result<(), Failure> {
    let (config, mut problems) = match Config::load(file) {
        Ok(config) => (config, Vec::new()),
        Err(report) => {
            let sound = Config { plugins: report.sound_plugins, ..Config::without_file() };
            (sound, report.problems)
        }
    };
    let (loaded, troubles) = plugins::try_all(&config).await;
    problems.extend(troubles.iter().map(|trouble| trouble.to_problem(Some(file))));
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { print(&summary(file, &config, &loaded)) } else { Err(failure(&problems)) }
}

fn failure(problems: &[Problem]) -> Failure {
    let mut text = String::from("the configuration cannot be used");
    for problem in problems {
        let _ = write!(text, "\n{problem}");
    }
    let _ = match problems.len() {
        1 => write!(text, "\n1 problem"),
        count => write!(text, "\n{count} problems"),
    };
    Failure::usage(text)
}

/// What the configuration does.
fn summary(file: &Path, config: &Config, plugins: &[Loaded]) -> String {
    let mut text = format!("{} is fine\n", file.display());
    for listener in &config.listeners {
        let decided = Decided::by(plugins, config, listener);
        let policy = announce::policy(listener, decided);
        let _ = writeln!(text, "listener {} on {}: {policy}", listener.name, listener.address);
        if let Some(warning) = announce::warning(listener, decided) {
            let _ = writeln!(text, "  but {warning}");
        }
    }
    if plugins.is_empty() {
        text.push_str("no plugins\n");
    }
    for plugin in plugins {
        let hooks: Vec<&str> = plugin.hooks.iter().map(|hook| hook.as_str()).collect();
        let _ = writeln!(text, "plugin {} from {}: {}", plugin.name, plugin.file.display(), hooks.join(", "));
    }
    text
}
