//! `tidegate store export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

use super::place::Place;
use crate::daemon::exit::{Exit, Failure};
use crate::daemon::storage::{self, Access};
use crate::storage::Storage;
use crate::storage::transfer::{self, ExportError};

pub(super) fn run(place: &Place, file: &Path) -> Result<(), Failure> {
    let storage = storage::place(&place.options()?, Access::Read)?;
    if file == Path::new("-") { to_standard_output(&*storage) } else { to_file(&*storage, file) }
}

fn to_standard_output(storage: &dyn Storage) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match transfer::export(storage, &mut out) {
        // The reader has had enough; where it needed all, it misses the last line.
        Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map(drop).map_err(|error| failure(&error)),
    }
}

/// What could not be written whole is removed.
fn to_file(storage: &dyn Storage, file: &Path) -> Result<(), Failure> {
    let created = private(OpenOptions::new().write(true).create_new(true)).open(file);
    let created = created.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} is there already; name another file", file.display()))
        }
        _ => Failure::usage(format!("{} cannot be made: {error}", file.display())),
    })?;
    let written = write(storage, created);
    if written.is_err() {
        // Without its last line, nobody takes it for a whole one.
        let _ = fs::remove_file(file);
    }
    eprintln!("{} lines are in {}", written.map_err(|error| failure(&error))?, file.display());
    Ok(())
}

fn write(storage: &dyn Storage, file: File) -> Result<u64, ExportError> {
    let mut out = BufWriter::new(file);
    let lines = transfer::export(storage, &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(lines)
}

/// Messages are nobody else's business.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn failure(error: &ExportError) -> Failure {
    match error {
        ExportError::Storage(error) => storage::failure(error),
        ExportError::Write(_) => Failure::new(Exit::Internal, format!("failed to {error}")),
    }
}
