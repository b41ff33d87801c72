//! `tidegate plugin run-hook`: one call of one hook.

use std::fs;

use serde_json::{Map, Value, json};

use super::cases;
use super::exit::{Exit, Failure, print};
use super::harness_arguments::RunHookArguments;
use crate::plugin::{CaseFile, Harness};

pub(super) fn run(arguments: &RunHookArguments) -> Result<(), Failure> {
    let mut file = Map::new();
    file.insert("settings".into(), object("--settings", &arguments.settings)?);
    file.insert("grants".into(), object("--grants", &arguments.grants)?);
    if let Some(now) = arguments.now_ms {
        file.insert("now-ms".into(), now.into());
    }
    let (mut input, state) = (object("--input", &arguments.input)?, object("--state", &arguments.state)?);
    if arguments.hook == "init" && input.get("settings").is_none() {
        // What it is asked about is the start that it had.
        input["settings"] = file["settings"].clone();
    }
    let case = json!({ "name": "call", "hook": arguments.hook, "input": input, "state": state });
    file.insert("case".into(), json!([case]));
    let file = CaseFile::read(&file)
        .map_err(|problems| Failure::usage(format!("the call cannot be made\n{}", problems.join("\n"))))?;
    let mut harness = cases::load(Harness::load, &arguments.plugin, &file)?;
    let (answer, _) = harness.run(&file.cases[0]);
    print(&format!("{:#}\n", answer.to_json()))?;
    if answer.verdict() == "trap" { Err(Failure::new(Exit::Failed, "")) } else { Ok(()) }
}

/// JSON from the command line, or from the file behind `@`.
fn object(option: &str, text: &str) -> Result<Value, Failure> {
    let read;
    let text = match text.strip_prefix('@') {
        None => text,
        Some(file) => {
            let told = |error| Failure::usage(format!("failed to read {file} for {option}: {error}"));
            read = fs::read_to_string(file).map_err(told)?;
            &read
        }
    };
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::usage(format!("{option} expects a JSON object"))),
        Err(error) => Err(Failure::usage(format!("{option} is no JSON: {error}"))),
    }
}
