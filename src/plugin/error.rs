//! Why a plugin cannot be loaded, and why a call of it failed.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::status::FailureKind;

/// A plugin that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, Error)]
#[error("load plugin `{plugin}` from {path}: {problems}", path = path.display(), problems = Listed(problems))]
pub struct PluginError {
    pub plugin: String,
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl PluginError {
    /// All that is wrong, without the plugin's name.
    pub(super) fn why(&self) -> String {
        Listed(&self.problems).to_string()
    }
}

/// One thing that is wrong with a plugin. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("the host of plugins cannot run ({0})")]
    NoHost(String),
    #[error("two plugins have this name; give each its own")]
    DuplicateName,
    #[error("the file cannot be read ({0}); check the path and its permissions")]
    OutOfReach(String),
    #[error("the file cannot be taken: {0}")]
    Unreadable(String),
    #[error(
        "its SHA-256 is {found}, and the configuration pins {pinned}; put the pinned file in its place, or pin \
         this one"
    )]
    AnotherDigest { found: String, pinned: String },
    #[error("its signature {path} {reason}", path = path.display())]
    Signature { path: PathBuf, reason: String },
    #[error("it has to be signed, and there are no `trusted-keys` to check that with")]
    NoTrustedKeys,
    #[error("`{0}` among `trusted-keys` is no public key of minisign; copy the second line of minisign.pub")]
    BadKey(String),
    #[error("the file is not WebAssembly; build the plugin for a Wasm target and name its .wasm file")]
    NotWasm,
    #[error(
        "the core module cannot be made a component ({0}); build it with bindings generated from \
         the tidegate:plugin WIT, or turn it into a component with `wasm-tools component new`"
    )]
    NotEncodable(String),
    #[error("the component is not valid ({0}); build it again, the file may be incomplete")]
    Invalid(String),
    #[error(
        "compiling it took more than {0:?} (`compile-timeout`) and was ended; give it more only where its author is trusted"
    )]
    CompilesTooLong(Duration),
    #[error(
        "compiling it took more than {0} bytes of memory (`compile-memory`) and was ended; give it more only where its \
         author is trusted"
    )]
    CompilesTooLarge(usize),
    #[error("the process that was to compile it is of no use ({0})")]
    Compiler(String),
    #[error("the broker ends, and loads no plugins any more")]
    HostEnds,
    #[error("it imports `{0}`, which this broker does not have; remove the dependency that needs it")]
    UnknownImport(String),
    #[error(
        "it {direction} `{name}`, and this broker knows versions {known} of tidegate:plugin; build the \
         plugin with bindings for {known}, or use a broker that knows its version"
    )]
    UnknownVersion { direction: &'static str, name: String, known: &'static str },
    #[error(
        "it exports `{0}`, a hook that this broker does not have; use a newer broker, or remove the hook"
    )]
    UnknownHook(String),
    #[error("the certificates to trust in its HTTP requests cannot be read ({0}); correct `http-ca`")]
    Roots(String),
    #[error(
        "it calls `{function}` of `{interface}`, and this broker, which has {newest}, does not know it; use a newer \
         broker, or do without it"
    )]
    UnknownFunction { function: String, interface: String, newest: &'static str },
    #[error("its imports do not fit ({0}); build it with the WIT of this broker's version")]
    WrongImport(String),
    #[error("its `{hook}` has other types than the hook ({reason}); build it with unchanged WIT files")]
    WrongTypes { hook: String, reason: String },
    #[error(
        "it exports no hook; export at least one interface of tidegate:plugin, such as `{example}`",
        example = "tidegate:plugin/intercepting-publish@0.1.0"
    )]
    NoHook,
    #[error("it does not export the hook `{0}` that the configuration names; remove it from `hooks`")]
    HookNotExported(String),
    #[error("it cannot be instantiated ({0})")]
    NotInstantiable(String),
    #[error("its init refused to start: {0}")]
    Refused(String),
    #[error("its init failed ({0})")]
    InitFailed(String),
    #[error("its init asked for the topic filter `{filter}`, and {reason}")]
    IllegalTopic { filter: String, reason: String },
}

impl Problem {
    pub(super) fn unreadable(error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                Problem::OutOfReach(error.to_string())
            }
            _ => Problem::Unreadable(error.to_string()),
        }
    }

    /// Whether the same file has it again whenever it is loaded.
    pub(super) fn is_of_the_file(&self) -> bool {
        !matches!(self, Problem::NoHost(_) | Problem::Compiler(_) | Problem::HostEnds)
    }
}

/// Why one call failed. The instance is not called again.
#[derive(Debug)]
pub(super) enum CallError {
    /// A trap, an overrun, an error of a host function.
    Wasm(wasmtime::Error),
    /// It answered what it must not.
    Rubbish(String),
    /// There was no instance to call, and none could be made.
    NoInstance(String),
}

impl CallError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            CallError::Wasm(error) if is_interrupt(error) => FailureKind::Overrun,
            CallError::Wasm(_) => FailureKind::Trap,
            CallError::Rubbish(_) => FailureKind::Rubbish,
            CallError::NoInstance(_) => FailureKind::NoInstance,
        }
    }

    /// Whether it may have taken longer than a decision may: `init` of a new instance does.
    pub(super) fn may_have_taken_long(&self) -> bool {
        matches!(self.kind(), FailureKind::Overrun | FailureKind::NoInstance)
    }
}

fn is_interrupt(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<wasmtime::Trap>(), Some(wasmtime::Trap::Interrupt))
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> CallError {
        CallError::Wasm(error)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Wasm(error) if is_interrupt(error) => write!(f, "over its time: {error:?}"),
            CallError::Wasm(error) => write!(f, "{error:?}"),
            CallError::Rubbish(what) => write!(f, "illegal answer: {what}"),
            CallError::NoInstance(why) => write!(f, "no instance: {why}"),
        }
    }
}
