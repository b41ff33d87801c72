//! Builds a Rust project, by the first of two ways that can be gone: a toolchain that has the target, to which
//! rustup may add it; or Debian's, with a standard library built from source. `TIDEGATE_WASM_ROUTE` forces one.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::Project;
use super::tools::{in_path, run};
use crate::daemon::exit::{Exit, Failure};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &str = "rustc-web cargo-web rust-web-src lld-19";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Target,
    Debian,
}

pub(super) fn build(project: &Project, install: bool) -> Result<(), Failure> {
    let route = route(install)?;
    let mut command = match route {
        Route::Target => Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))),
        Route::Debian => debian(),
    };
    let folder = project.folder.join("target/plugin");
    command.args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(&folder);
    project.run(&mut command)?;
    let built = format!("{TARGET}/release/{}.wasm", project.name.replace('-', "_"));
    fs::copy(folder.join(built), project.folder.join(project.output()))
        .map(|_| ())
        .map_err(|error| Failure::internal("copy the built module", &error))
}

fn route(install: bool) -> Result<Route, Failure> {
    match env::var("TIDEGATE_WASM_ROUTE").as_deref() {
        Ok("1") => return Ok(Route::Target),
        Ok("2") => return Ok(Route::Debian),
        _ => {}
    }
    if target_is_installed() || install && add_target() {
        return Ok(Route::Target);
    }
    if debian_is_there() {
        return Ok(Route::Debian);
    }
    Err(Failure::new(
        Exit::Unavailable,
        format!(
            "there is no Rust for Wasm. Get it by one of\n    \
             rustup target add {TARGET}\n    \
             sudo apt-get install {DEBIAN_PACKAGES}"
        ),
    ))
}

fn target_is_installed() -> bool {
    let asked = Command::new("rustc").args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    let Ok(answer) = asked else { return false };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn add_target() -> bool {
    in_path("rustup").is_some() && run(Command::new("rustup").args(["target", "add", TARGET])).is_ok()
}

fn debian_is_there() -> bool {
    let has_sources = fs::read_dir("/usr/src").is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("rustc")))
    });
    [DEBIAN_CARGO, DEBIAN_RUSTC].iter().all(|tool| Path::new(tool).is_file())
        && in_path("wasm-ld-19").is_some()
        && has_sources
}

fn debian() -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    command.envs([("CARGO", DEBIAN_CARGO), ("RUSTC", DEBIAN_RUSTC), ("RUSTC_BOOTSTRAP", "1")]);
    command.args(["-Zbuild-std=std,panic_abort", "--config"]);
    command.arg(format!("target.{TARGET}.linker='wasm-ld-19'"));
    command
}
