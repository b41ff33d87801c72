//! `tidegate store check`.

use std::fmt::Write as _;

use super::place::{self, Named, Place};
use super::{now, stats};
use crate::daemon::exit::{Exit, Failure, print};
use crate::daemon::storage::{self, Access};

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let options = place.options()?;
    let storage = storage::place(&options, Access::Read)?;
    storage.check().map_err(|error| storage::failure(&error))?;
    let mut survey = place::survey(&*storage, now()).map_err(|error| storage::failure(&error))?;
    let figures = survey.finish();
    let mut text = String::new();
    for line in stats::counts(figures) {
        let _ = writeln!(text, "{line}");
    }
    let (findings, further) = survey.findings();
    let found = findings.len() as u64 + further;
    if found == 0 {
        return print(&format!("{} is sound\n{text}", Named(&options)));
    }
    print(&text)?;
    Err(Failure::new(Exit::Storage, unsound(&Named(&options), findings, further)))
}

fn unsound(place: &Named<'_>, findings: &[String], further: u64) -> String {
    let mut text = format!("{place} is not sound");
    for finding in findings {
        let _ = write!(text, "\n{finding}");
    }
    if further > 0 {
        let _ = write!(text, "\nand {further} more");
    }
    text.push_str(
        "\na broker that is started with it leaves out what does not go together; a backup may be better",
    );
    text
}
