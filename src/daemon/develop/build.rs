//! Builds a project with its language's tools.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::language::Language;
use super::rust;
use super::tools::{self, ASC, COMPONENTIZE_PY, COMPONENTIZE_QJS, GO, TSC, ZIG, in_path};
use crate::daemon::exit::{Failure, print};
use crate::plugin;

pub(super) fn run(folder: &Path, install: bool) -> Result<(), Failure> {
    let project = Project::of(folder)?;
    fs::create_dir_all(project.folder.join("build"))
        .map_err(|error| Failure::internal("make the folder `build`", &error))?;
    project.compile(install)?;
    project.check()
}

pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    language: Language,
}

impl Project {
    fn of(folder: &Path) -> Result<Project, Failure> {
        let folder = fs::canonicalize(folder)
            .map_err(|error| Failure::usage(format!("{} is no project: {error}", folder.display())))?;
        let Some(language) = Language::of(&folder) else {
            let known: Vec<&str> = Language::ALL.iter().map(|language| language.source()).collect();
            let known = known.join(", ");
            return Err(Failure::usage(format!(
                "{} is no project of a plugin: it has none of {known}",
                folder.display()
            )));
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Project { folder, name, language })
    }

    /// Where the plugin comes to lie, seen from the project.
    pub(super) fn output(&self) -> String {
        format!("build/{}.wasm", self.name)
    }

    fn compile(&self, install: bool) -> Result<(), Failure> {
        match self.language {
            Language::Rust => rust::build(self, install),
            Language::Javascript => self.javascript("src/plugin.js", install),
            Language::Typescript => {
                self.run(TSC.command(install)?.args(["-p", "."]))?;
                self.javascript("build/js/plugin.js", install)
            }
            Language::Python => self.python(install),
            Language::Go => self.run(
                GO.command(install)?
                    .args([
                        "build",
                        "-trimpath",
                        "-ldflags=-s -w",
                        "-buildmode=c-shared",
                        "-o",
                        &self.output(),
                        ".",
                    ])
                    .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local")]),
            ),
            Language::C => self.c(install),
            Language::Zig => self.run(
                ZIG.command(install)?
                    .args([
                        "build-exe",
                        "plugin.zig",
                        "-target",
                        "wasm32-freestanding",
                        "-fno-entry",
                        "-rdynamic",
                    ])
                    .args(["-O", "ReleaseSmall", &format!("-femit-bin={}", self.output())]),
            ),
            Language::Assemblyscript => self.run(
                ASC.command(install)?
                    .args([
                        "assembly/index.ts",
                        "--outFile",
                        &self.output(),
                        "--optimize",
                        "--runtime",
                        "stub",
                    ])
                    .args(["--use", "abort=", "--transform", "./names.mjs"]),
            ),
        }
    }

    /// With WASI, which the broker has closed: an exception is told by stderr.
    fn javascript(&self, source: &str, install: bool) -> Result<(), Failure> {
        self.run(
            COMPONENTIZE_QJS
                .command(install)?
                .args(["--sync", "--opt-size", "--wit", "wit", "--js", source])
                .args(["--output", &self.output()]),
        )
    }

    /// First the types of the contract, for editors. With WASI as for JavaScript.
    fn python(&self, install: bool) -> Result<(), Failure> {
        let world = ["--quiet", "--wit-path", "wit", "--world", "plugin"];
        match fs::remove_dir_all(self.folder.join("typings")) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::internal("replace the folder `typings`", &error));
            }
            _ => {}
        }
        self.run(COMPONENTIZE_PY.command(install)?.args(world).args(["bindings", "typings"]))?;
        self.run(COMPONENTIZE_PY.command(install)?.args(world).args([
            "componentize",
            "--python-path",
            ".",
            "plugin",
            "--output",
            &self.output(),
        ]))
    }

    /// By clang where it is there with a C library for Wasm, else by zig.
    fn c(&self, install: bool) -> Result<(), Failure> {
        let mut compiler = match clang() {
            Some(clang) => Command::new(clang),
            None => {
                let mut zig = ZIG.command(install)?;
                zig.arg("cc");
                zig
            }
        };
        self.run(
            compiler
                .args(["--target=wasm32-wasi", "-O2", "-Wall", "-mexec-model=reactor", "-Wl,--strip-all"])
                .args(["plugin.c", "bindings/plugin.c", "-o", &self.output()]),
        )
    }

    pub(super) fn run(&self, command: &mut Command) -> Result<(), Failure> {
        tools::run(command.current_dir(&self.folder))
    }

    /// That this broker would load what was built.
    fn check(&self) -> Result<(), Failure> {
        let path = self.folder.join(self.output());
        let inspection = plugin::inspect(&path)
            .map_err(|error| Failure::usage(format!("failed to read {}: {error}", path.display())))?;
        if let Some(problem) = inspection.problems.first() {
            return Err(Failure::usage(format!("{} was built, and {problem}", path.display())));
        }
        let exports = inspection.exports.iter().filter(|export| export.known);
        let exports: Vec<&str> = exports.map(|export| export.name.as_str()).collect();
        let (size, exports) = (inspection.size, exports.join(", "));
        print(&format!("built {}, {size} bytes: {exports}\n", path.display()))
    }
}

/// Debian's, with its packages `wasi-libc` and `libclang-rt-19-dev-wasm32`.
fn clang() -> Option<PathBuf> {
    let has_library = Path::new("/usr/include/wasm32-wasi").is_dir();
    has_library.then(|| ["clang", "clang-19"].into_iter().find_map(in_path)).flatten()
}
