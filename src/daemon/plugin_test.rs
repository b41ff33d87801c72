//! `tidegate plugin test`: a plugin against cases.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::cases::{self, grouped};
use super::exit::{Exit, Failure, print};
use super::harness_arguments::TestArguments;
use crate::plugin::{Case, CaseFile, Difference, Found, Harness};

pub(super) fn run(arguments: &TestArguments) -> Result<(), Failure> {
    let files = cases::find(&arguments.plugin, &arguments.cases)?;
    let read: Vec<CaseFile> = files.iter().map(|file| cases::read(file)).collect::<Result<_, _>>()?;
    let (mut run, mut failed) = (0, 0);
    for (path, file) in files.iter().zip(&read) {
        let mut harness = cases::load(Harness::load, &arguments.plugin, file)?;
        if !arguments.json {
            print(&format!("{} against {}\n", arguments.plugin.display(), path.display()))?;
        }
        for case in &file.cases {
            let most_fuel = case.max_fuel.or(arguments.max_fuel);
            harness.limit_fuel(most_fuel);
            let (answer, mut differences) = harness.run(case);
            differences.extend(too_much_fuel(&answer, most_fuel));
            if arguments.filter.as_ref().is_some_and(|part| !case.name.contains(part)) {
                continue;
            }
            run += 1;
            failed += usize::from(!differences.is_empty());
            let text = match arguments.json {
                true => object(path, case, &answer, &differences),
                false => lines(case, &answer, &differences),
            };
            print(&text)?;
        }
    }
    if !arguments.json {
        print(&format!("{run} cases, {failed} failed\n"))?;
    }
    match (run, failed) {
        (0, _) => Err(Failure::usage("no case was run; is the filter right?")),
        (_, 0) => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "")),
    }
}

fn too_much_fuel(answer: &Found, most: Option<u64>) -> Option<Difference> {
    let (spent, most) = (answer.fuel?, most?);
    (spent > most).then(|| Difference {
        field: "fuel".into(),
        expected: format!("at most {}", grouped(most)),
        found: grouped(spent),
    })
}

fn lines(case: &Case, answer: &Found, differences: &[Difference]) -> String {
    let word = if differences.is_empty() { "ok" } else { "FAIL" };
    let fuel = grouped(answer.fuel.unwrap_or_default());
    let mut text = format!("  {word:<5} {:<50} {fuel:>12} fuel\n", case.name);
    for Difference { field, expected, found } in differences {
        let found = found.lines().next().unwrap_or_default();
        let _ = writeln!(text, "          {field}");
        let _ = writeln!(text, "            expected {expected}");
        let _ = writeln!(text, "            found    {found}");
    }
    let is_trap = answer.verdict() == "trap" && !differences.is_empty();
    if let Some(error) = answer.fields.get("error").and_then(Value::as_str).filter(|_| is_trap) {
        for line in error.lines() {
            let _ = writeln!(text, "          | {line}");
        }
        for line in answer.fields.get("log").and_then(Value::as_array).into_iter().flatten() {
            let _ = writeln!(text, "          log {line}");
        }
    }
    text
}

fn object(file: &Path, case: &Case, answer: &Found, differences: &[Difference]) -> String {
    let differences: Vec<Value> = differences
        .iter()
        .map(|it| json!({ "field": it.field, "expected": it.expected, "found": it.found }))
        .collect();
    let object = json!({
        "file": file.display().to_string(),
        "name": case.name,
        "hook": case.hook,
        "passed": differences.is_empty(),
        "fuel": answer.fuel,
        "differences": differences,
        "found": answer.fields,
    });
    format!("{object}\n")
}
