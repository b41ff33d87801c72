//! `tidegate plugin bench`: what the calls of a plugin cost.

use serde_json::json;

use super::cases::{self, grouped};
use super::exit::{Exit, Failure, print};
use super::harness_arguments::BenchArguments;
use crate::plugin::{Case, CaseFile, Difference, Harness, Price};

pub(super) fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    let mut measured = 0;
    for path in cases::find(&arguments.plugin, &arguments.cases)? {
        let file = cases::read(&path)?;
        let mut bench = Bench::load(arguments, &file)?;
        if !arguments.json {
            let size = std::fs::metadata(&arguments.plugin).map_or(0, |found| found.len());
            let plugin = arguments.plugin.display();
            print(&format!("{plugin}: {} bytes, instance and init in {}\n", grouped(size), bench.start()?))?;
        }
        for case in &file.cases {
            if is_meant(arguments, case) {
                measured += 1;
                print(&bench.measure(case)?)?;
            } else {
                bench.pass(case);
            }
        }
    }
    if measured == 0 {
        return Err(Failure::usage("no case of this hook and name is in the file"));
    }
    Ok(())
}

/// `init` and events are not calls whose price clients pay.
fn is_meant(arguments: &BenchArguments, case: &Case) -> bool {
    let has_name = arguments.filter.as_ref().is_none_or(|part| case.name.contains(part));
    has_name
        && match &arguments.hook {
            Some(hook) => case.hook == *hook,
            None => case.hook != "init",
        }
}

/// The plugin twice: the engine that meters fuel is not the one that the broker has.
struct Bench<'a> {
    arguments: &'a BenchArguments,
    metered: Harness,
    unmetered: Harness,
}

impl Bench<'_> {
    fn load<'a>(arguments: &'a BenchArguments, file: &CaseFile) -> Result<Bench<'a>, Failure> {
        Ok(Bench {
            arguments,
            metered: cases::load(Harness::load, &arguments.plugin, file)?,
            unmetered: cases::load(Harness::load_unmetered, &arguments.plugin, file)?,
        })
    }

    fn start(&self) -> Result<String, Failure> {
        let time = self.unmetered.instantiation_time();
        let time = time.map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(format!("{:.1} µs", time.as_nanos() as f64 / 1000.0))
    }

    /// Asks once, for what is kept for the cases behind it.
    fn pass(&mut self, case: &Case) {
        self.metered.run(case);
        self.unmetered.run(case);
    }

    fn measure(&mut self, case: &Case) -> Result<String, Failure> {
        let (answer, _) = self.metered.run(case);
        let price = self.unmetered.measure(case, self.arguments.time);
        let price = price.map_err(|differences| unsteady(case, &differences))?;
        Ok(shown(self.arguments, case, &Price { fuel: answer.fuel.unwrap_or_default(), ..price }))
    }
}

fn shown(arguments: &BenchArguments, case: &Case, price: &Price) -> String {
    let Price { case: name, calls, nanoseconds, fuel, memory, tables } = price;
    if arguments.json {
        let (hook, time) = (&case.hook, nanoseconds.round());
        let object = json!({
            "name": name, "hook": hook, "calls": calls, "ns": time, "fuel": fuel, "memory": memory, "tables": tables,
        });
        return format!("{object}\n");
    }
    let (calls, fuel, memory) = (grouped(*calls), grouped(*fuel), grouped(memory + tables));
    format!("  {name:<50} {nanoseconds:>9.0} ns {fuel:>12} fuel {memory:>12} bytes  ({calls} calls)\n")
}

fn unsteady(case: &Case, differences: &[Difference]) -> Failure {
    let told = |it: &Difference| format!("\n  {}: expected {}, found {}", it.field, it.expected, it.found);
    let differences: String = differences.iter().map(told).collect();
    Failure::new(Exit::Failed, format!("no figure for `{}`: it answers otherwise{differences}", case.name))
}
