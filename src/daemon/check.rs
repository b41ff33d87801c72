//! `tidegate check`: all that can be wrong with a configuration, before it is used.

use std::fmt::Write as _;
use std::path::Path;

use super::announce::{self, Decided};
use super::exit::{Failure, written};
use super::plugins::{self, Loaded};
use crate::config::{Config, Problem};

pub(super) async fn run(file: &Path) -> Result<(), Failure> {
    let (config, mut problems, specs) = match Config::load(file) {
        Ok(config) => {
            let specs = config.plugins.clone();
            (Some(config), Vec::new(), specs)
        }
        Err(report) => (None, report.problems, report.sound_plugins),
    };
    let options = config.as_ref().map(|config| config.plugins_options.clone()).unwrap_or_default();
    let (loaded, of_plugins) = plugins::try_all(&options, &specs).await;
    problems.extend(of_plugins.into_iter().map(|problem| Problem {
        file: file.to_owned(),
        line: problem.spec.line,
        key: Some("plugin.path".to_owned()),
        message: format!("plugin `{}`: {}", problem.spec.name, problem.message),
    }));
    problems.sort_by_key(|problem| problem.line);
    match config {
        Some(config) if problems.is_empty() => print(&summary(file, &config, &loaded)),
        _ => Err(failure(&problems)),
    }
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
    let decided = Decided::by(plugins);
    for listener in &config.listeners {
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

fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    written(std::io::stdout().write_all(text.as_bytes()))
}
