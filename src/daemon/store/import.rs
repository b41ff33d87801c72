//! `tidegate store import`.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::export::private;
use super::place::{self, Named};
use super::{FormatName, ImportArguments, now, stats};
use crate::config::StorageOptions;
use crate::daemon::exit::{Exit, Failure, print};
use crate::daemon::storage::{self, Access};
use crate::message::Timestamp;
use crate::storage::transfer::{self, Changes, Format, Part, PutError, Wrong};
use crate::storage::{Figures, Storage, Survey};

pub(super) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let options = arguments.place.options()?;
    let text = Text::open(arguments)?;
    let part = if arguments.merge { Part::Retained } else { Part::All };
    let mut survey = text.examine(part)?;
    let largest_message = u32::try_from(survey.finish().largest_message).unwrap_or(u32::MAX);
    let storage = storage::place(&options, Access::Write { largest_message })?;
    let failed = |error| storage::failure(&error);
    if arguments.replace {
        transfer::clear(&*storage).map_err(failed)?;
    } else if !arguments.merge {
        require_empty(&*storage, &options, text.now)?;
    }
    text.put(&*storage, &survey)?;
    print(&summary(&Named(&options), survey.finish()))?;
    warn(&survey);
    Ok(())
}

fn require_empty(storage: &dyn Storage, options: &StorageOptions, now: Timestamp) -> Result<(), Failure> {
    let mut survey = place::survey(storage, now).map_err(|error| storage::failure(&error))?;
    let there = survey.finish();
    // When a broker ran there is nothing to lose.
    if *there == (Figures { alive: there.alive, ..Figures::default() }) {
        return Ok(());
    }
    let message = format!(
        "{} is not empty: it has {} sessions, {} retained messages and state of {} plugins; name another place, or use \
         --replace to delete them or --merge to put retained messages beside them",
        Named(options),
        there.sessions,
        there.retained.count,
        there.plugins.len()
    );
    Err(Failure::new(Exit::Storage, message))
}

fn summary(place: &Named<'_>, figures: &Figures) -> String {
    let mut text = format!("{place} has now what was in the file\n");
    for line in stats::counts(figures) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// What does not go together was so where it was exported.
fn warn(survey: &Survey) {
    let (findings, further) = survey.findings();
    for finding in findings {
        eprintln!("warning: {finding}");
    }
    if further > 0 {
        eprintln!("warning: and {further} more");
    }
}

/// A file that can be read twice.
struct Text {
    file: File,
    format: Option<Format>,
    name: String,
    /// One moment for both times.
    now: Timestamp,
}

impl Text {
    fn open(arguments: &ImportArguments) -> Result<Text, Failure> {
        let (path, name) = (&arguments.file, arguments.file.display().to_string());
        let unreadable = |error: io::Error| Failure::usage(format!("{name} cannot be read: {error}"));
        let file = if path == Path::new("-") {
            aside(&mut io::stdin().lock())?
        } else {
            let mut file = File::open(path).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                return Err(Failure::usage(format!("{name} is a folder: name a file")));
            }
            if metadata.is_file() { file } else { aside(&mut file)? }
        };
        let format = arguments.format.map(|format| match format {
            FormatName::Tidegate => Format::Tidegate,
            FormatName::Mqttnet => Format::Mqttnet,
        });
        Ok(Text { file, format, name, now: now() })
    }

    fn examine(&self, part: Part) -> Result<Survey, Failure> {
        let read = self.read().map_err(|wrong| self.refused(&[wrong]))?;
        transfer::examine(read, part, self.now).map_err(|wrong| self.refused(&wrong))
    }

    fn put(&self, storage: &dyn Storage, survey: &Survey) -> Result<(), Failure> {
        let put = self.read().map_err(PutError::Text).and_then(|read| transfer::put(storage, read, survey));
        put.map_err(|error| match error {
            PutError::Storage(error) => {
                let failure = storage::failure(&error);
                let more = "some of the file may be there already; import it again with --replace";
                Failure { message: format!("{}; {more}", failure.message), ..failure }
            }
            PutError::Text(_) => Failure::internal("import", &error),
        })
    }

    /// From the beginning.
    fn read(&self) -> Result<Changes<'_>, Wrong> {
        let mut file = &self.file;
        // Where that fails, reading does.
        let _ = file.rewind();
        transfer::read(BufReader::with_capacity(1 << 16, file), self.format, self.now)
    }

    fn refused(&self, wrong: &[Wrong]) -> Failure {
        let mut text = format!("{} cannot be imported; nothing was changed", self.name);
        for wrong in wrong {
            let _ = write!(text, "\n{wrong}");
        }
        Failure::usage(text)
    }
}

/// Copies what can be read once only into a file without a name.
fn aside(input: &mut dyn Read) -> Result<File, Failure> {
    let path = std::env::temp_dir().join(format!("tidegate-import-{}", std::process::id()));
    let mut copied = || {
        let mut options = OpenOptions::new();
        let mut file = private(options.read(true).write(true).create_new(true)).open(&path)?;
        let removed = fs::remove_file(&path);
        io::copy(input, &mut file)?;
        removed.map(|()| file)
    };
    copied().map_err(|error| Failure::internal(&format!("keep the input in {}", path.display()), &error))
}
