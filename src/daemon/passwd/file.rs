//! A file of names and hashes, one a line: `name:hash`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::super::exit::{Exit, Failure};

/// A larger file is none of names.
const LARGEST: u64 = 64 * 1024 * 1024;

/// As it was found.
pub(super) struct UserFile {
    /// Without symbolic links.
    path: PathBuf,
    text: String,
    is_there: bool,
}

pub(super) enum Change<'a> {
    Set(&'a str),
    Delete,
}

impl UserFile {
    pub(super) fn read(path: &Path) -> Result<UserFile, Failure> {
        let failed = |what: &str, error: &io::Error| failure(what, path, error);
        let (path, is_there) = match fs::canonicalize(path) {
            Ok(path) => (path, true),
            Err(error) if error.kind() == ErrorKind::NotFound => (path.to_owned(), false),
            Err(error) => return Err(failed("find", &error)),
        };
        let mut text = String::new();
        if is_there {
            let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
            read.map_err(|error| failed("read", &error))?;
        }
        if text.len() as u64 > LARGEST {
            return Err(Failure::usage(format!(
                "{} is larger than 64MiB: it is no such file",
                path.display()
            )));
        }
        Ok(UserFile { path, text, is_there })
    }

    /// Whether a new one can be put in its place.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let new = self.new_path();
        create(&new).map_err(|error| failure("write beside", &self.path, &error))?;
        let _ = fs::remove_file(new);
        Ok(())
    }

    /// Puts the changed text in place in one go: whoever reads the file finds the one or the other.
    pub(super) fn write(&self, name: &str, change: Change<'_>) -> Result<(), Failure> {
        let text = changed(&self.text, name, &change).ok_or_else(|| {
            Failure::usage(format!("{} has no name `{name}`; nothing was changed", self.path.display()))
        })?;
        let new = self.new_path();
        let written = create(&new).and_then(|mut file| {
            self.give_to_owner(&file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        });
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            failure("write", &self.path, &error)
        })
    }

    /// The broker may run as another user than the one who changes the file.
    #[cfg(unix)]
    fn give_to_owner(&self, new: &File) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, fchown};
        if !self.is_there {
            return Ok(());
        }
        let (old, own) = (fs::metadata(&self.path)?, new.metadata()?);
        let differs = old.uid() != own.uid() || old.gid() != own.gid();
        if differs { fchown(new, Some(old.uid()), Some(old.gid())) } else { Ok(()) }
    }

    #[cfg(not(unix))]
    fn give_to_owner(&self, _new: &File) -> io::Result<()> {
        let _ = self.is_there;
        Ok(())
    }

    fn new_path(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(format!(".{}.new", std::process::id()));
        path.into()
    }
}

/// For its owner alone.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn failure(what: &str, path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("failed to {what} {}: {error}", path.display()))
}

/// All other lines stay as they are. None where there is nothing to delete.
fn changed(text: &str, name: &str, change: &Change<'_>) -> Option<String> {
    let is_of_name =
        |line: &str| !line.starts_with('#') && line.split_once(':').is_some_and(|(before, _)| before == name);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = lines.iter().position(|line| is_of_name(line));
    match (change, place) {
        (Change::Delete, None) => return None,
        (Change::Delete, Some(_)) => lines.retain(|line| !is_of_name(line)),
        (Change::Set(hash), Some(place)) => {
            lines[place] = format!("{name}:{hash}");
            // The plugin takes no file in which a name is twice.
            let mut index = 0;
            lines.retain(|line| {
                index += 1;
                index - 1 == place || !is_of_name(line)
            });
        }
        (Change::Set(hash), None) => lines.push(format!("{name}:{hash}")),
    }
    Some(lines.into_iter().map(|line| line + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_set_in_its_place_and_others_stay() {
        let text = "# people\nada:$7$old\n\nbob:$7$b\nada:$7$older";
        let set = changed(text, "ada", &Change::Set("$new")).unwrap();
        assert_eq!(set, "# people\nada:$new\n\nbob:$7$b\n");
        assert_eq!(changed(&set, "eve", &Change::Set("$e")).unwrap(), set.clone() + "eve:$e\n");
        assert_eq!(changed(&set, "ada", &Change::Delete).unwrap(), "# people\n\nbob:$7$b\n");
        assert_eq!(changed(&set, "ad", &Change::Delete), None);
        assert_eq!(changed("#ada:$x\n", "#ada", &Change::Delete), None);
        assert_eq!(changed("", "ada", &Change::Set("$n")).unwrap(), "ada:$n\n");
    }
}
