//! What a Wasm file shows on its outside, before anything of it is compiled: which interfaces it exports
//! and imports, in which versions, and what of it this host cannot serve.

use std::panic::catch_unwind;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldItem};

use super::error::Problem;
use super::options::Hook;
use super::{contract, preview1, wasi};

/// The package whose interfaces are hooks and host services.
const PACKAGE: &str = "tidegate:plugin";

/// The versions of it that this host serves.
pub(super) const KNOWN_VERSIONS: &str = "0.1";

const LIFECYCLE: &str = "lifecycle";

const SERVICES: [&str; 16] = [
    "types",
    "log",
    "settings",
    "state",
    "session-items",
    "broker",
    "crypto",
    "passwords",
    "http",
    "metrics",
    "clock",
    "random",
    "client",
    "connection",
    "message",
    "reply",
];

/// Those of them that wait for something: a plugin that imports one is called on threads aside.
const WAITING: [&str; 2] = ["http", "passwords"];

/// An interface that a plugin exports or imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As it is written in the file, `tidegate:plugin/log@0.1.0`.
    pub full_name: String,
    /// `log`; the full name for an interface of another package.
    pub name: String,
    pub version: Option<String>,
    /// Whether this host calls it, or has it.
    pub known: bool,
    pub functions: Vec<String>,
}

/// The full name of an interface, and its functions.
type Named = (String, Vec<String>);

fn functions(resolve: &Resolve, item: &WorldItem) -> Vec<String> {
    match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// The outside of a component.
#[derive(Clone, Debug, Default)]
pub(super) struct Surface {
    pub(super) exports: Vec<Interface>,
    pub(super) imports: Vec<Interface>,
    pub(super) problems: Vec<Problem>,
}

impl Surface {
    pub(super) fn of(component: &[u8]) -> Surface {
        let Ok(decoded) = catch_unwind(|| wit_component::decode(component)) else {
            return Surface::broken("its types cannot be read".into());
        };
        match decoded {
            Ok(DecodedWasm::Component(resolve, world)) => {
                let world = &resolve.worlds[world];
                let outside =
                    |(key, item): (&_, &_)| (resolve.name_world_key(key), functions(&resolve, item));
                Surface::new(world.exports.iter().map(outside), world.imports.iter().map(outside))
            }
            Ok(DecodedWasm::WitPackage(..)) => Surface::broken("it is a WIT package".into()),
            Err(error) => Surface::broken(format!("{error:#}")),
        }
    }

    fn broken(why: String) -> Surface {
        Surface { problems: vec![Problem::Invalid(why)], ..Surface::default() }
    }

    fn new(exports: impl Iterator<Item = Named>, imports: impl Iterator<Item = Named>) -> Surface {
        let exports: Vec<Interface> = exports.map(|named| Interface::new(named, is_called)).collect();
        let is_service = |name: &str| SERVICES.contains(&name);
        let imports: Vec<Interface> = imports.map(|named| Interface::new(named, is_service)).collect();
        let mut problems: Vec<Problem> = imports.iter().filter_map(import_problem).collect();
        problems.extend(imports.iter().flat_map(function_problems));
        problems.extend(exports.iter().filter_map(export_problem));
        let mut surface = Surface { exports, imports, problems };
        if surface.hooks().next().is_none() && surface.problems.is_empty() {
            surface.problems.push(Problem::NoHook);
        }
        surface
    }

    /// The hooks that it exports and this host calls.
    pub(super) fn hooks(&self) -> impl Iterator<Item = Hook> {
        Hook::ALL.into_iter().filter(|&hook| self.exports_interface(hook))
    }

    /// Subscription and unsubscription are two interfaces and two hooks.
    fn exports_interface(&self, hook: Hook) -> bool {
        self.exports.iter().any(|export| export.known && export.name == hook.name())
    }

    /// Whether it imports a service that waits.
    pub(super) fn waits(&self) -> bool {
        WAITING.into_iter().any(|service| self.imports_service(service))
    }

    pub(super) fn imports_service(&self, name: &str) -> bool {
        self.imports.iter().any(|import| import.known && import.name == name)
    }

    pub(super) fn has_lifecycle(&self) -> bool {
        self.exports.iter().any(|export| export.known && export.name == LIFECYCLE)
    }
}

impl Interface {
    fn new((full_name, functions): Named, is_known: impl Fn(&str) -> bool) -> Interface {
        let (path, version) = match full_name.split_once('@') {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (full_name.as_str(), None),
        };
        let is_wasi = wasi::is_served(&full_name) || full_name == preview1::INTERFACE;
        let ours = path.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'));
        let name = ours.unwrap_or(&full_name).to_owned();
        let served = version.as_deref().is_some_and(is_served);
        let known = is_wasi || ours.is_some() && served && is_known(&name);
        Interface { known, name, version, full_name, functions }
    }

    fn is_ours(&self) -> bool {
        self.name != self.full_name
    }

    fn is_of_unknown_version(&self) -> bool {
        self.is_ours() && !self.version.as_deref().is_some_and(is_served)
    }
}

fn is_served(version: &str) -> bool {
    version.strip_prefix(KNOWN_VERSIONS).is_some_and(|rest| rest.starts_with('.'))
}

fn is_called(interface: &str) -> bool {
    interface == LIFECYCLE || Hook::from_name(interface).is_some()
}

fn import_problem(import: &Interface) -> Option<Problem> {
    let name = import.full_name.clone();
    if import.known {
        None
    } else if import.is_of_unknown_version() {
        Some(Problem::UnknownVersion { direction: "imports", name, known: KNOWN_VERSIONS })
    } else {
        Some(Problem::UnknownImport(name))
    }
}

/// Functions of a service that a newer version of the contract has, and this host has not.
fn function_problems(import: &Interface) -> Vec<Problem> {
    if !import.known || !import.is_ours() {
        return Vec::new();
    }
    let missing = import.functions.iter().filter(|function| !contract::has_function(&import.name, function));
    missing
        .map(|function| Problem::UnknownFunction {
            function: function.clone(),
            interface: import.full_name.clone(),
            newest: contract::VERSION,
        })
        .collect()
}

/// Exports that are not ours are nobody's business.
fn export_problem(export: &Interface) -> Option<Problem> {
    let name = export.full_name.clone();
    if export.known || !export.is_ours() || SERVICES.contains(&export.name.as_str()) {
        None
    } else if export.is_of_unknown_version() {
        Some(Problem::UnknownVersion { direction: "exports", name, known: KNOWN_VERSIONS })
    } else {
        Some(Problem::UnknownHook(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surface(exports: &[&str], imports: &[&str]) -> Surface {
        let named = |name: &&str| ((*name).to_owned(), Vec::new());
        let owned = |names: &[&str]| names.iter().map(named).collect::<Vec<_>>();
        Surface::new(owned(exports).into_iter(), owned(imports).into_iter())
    }

    #[test]
    fn a_newer_patch_version_is_known() {
        let surface = surface(&["tidegate:plugin/events@0.1.7"], &["tidegate:plugin/log@0.1.3"]);
        assert!(surface.problems.is_empty(), "{:?}", surface.problems);
        assert_eq!(surface.hooks().collect::<Vec<_>>(), [Hook::Events]);
    }

    #[test]
    fn of_a_newer_version_what_is_known_is_taken_and_what_is_not_is_named() {
        let with = |function: &str| {
            let export = ("tidegate:plugin/events@0.1.9".to_owned(), vec!["handle".to_owned()]);
            let import = ("tidegate:plugin/state@0.1.9".to_owned(), vec![function.to_owned()]);
            Surface::new([export].into_iter(), [import].into_iter()).problems
        };
        assert_eq!(with("atomic-add"), []);
        let told = with("get-many")[0].to_string();
        assert!(told.contains("`get-many` of `tidegate:plugin/state@0.1.9`"), "{told}");
        assert!(told.contains("has 0.1.0"), "{told}");
    }

    #[test]
    fn all_problems_are_told_together() {
        let surface = surface(
            &["tidegate:plugin/authorizer@0.2.0", "tidegate:plugin/brewing@0.1.0"],
            &["wasi:cli/environment@0.3.0", "tidegate:plugin/log@1.0.0"],
        );
        let text: Vec<String> = surface.problems.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 4, "{text:?}");
        assert!(text[0].contains("wasi:cli/environment@0.3.0"));
        assert!(text[1].contains("imports `tidegate:plugin/log@1.0.0`"));
        assert!(text[2].contains("exports `tidegate:plugin/authorizer@0.2.0`"));
        assert!(text[3].contains("brewing"));
    }

    #[test]
    fn extra_exports_are_allowed_but_no_hook_is_not() {
        let surface = surface(&["acme:tools/things@1.0.0", "tidegate:plugin/lifecycle@0.1.0"], &[]);
        assert_eq!(surface.problems, [Problem::NoHook]);
    }
}
