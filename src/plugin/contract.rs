//! The text of `wit/`, for modules whose world follows from their names, and for projects of plugin authors; and
//! what this host has of it, for plugins that were built against another version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::encode;

/// The version that this host was built with.
pub(super) const VERSION: &str = "0.1.0";

/// File names and what is in them.
pub const WIT: &[(&str, &str)] = &[
    ("application-message-not-consumed.wit", include_str!("../../wit/application-message-not-consumed.wit")),
    ("authorizer.wit", include_str!("../../wit/authorizer.wit")),
    ("events.wit", include_str!("../../wit/events.wit")),
    ("host.wit", include_str!("../../wit/host.wit")),
    ("intercepting-client-enqueue.wit", include_str!("../../wit/intercepting-client-enqueue.wit")),
    ("intercepting-publish.wit", include_str!("../../wit/intercepting-publish.wit")),
    ("intercepting-subscription.wit", include_str!("../../wit/intercepting-subscription.wit")),
    ("lifecycle.wit", include_str!("../../wit/lifecycle.wit")),
    ("types.wit", include_str!("../../wit/types.wit")),
    ("validating-connection.wit", include_str!("../../wit/validating-connection.wit")),
    ("worlds.wit", include_str!("../../wit/worlds.wit")),
];

/// Functions by interface.
static FUNCTIONS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    // The text is a part of this program, and a test reads it.
    let Ok(resolve) = encode::contract() else { return BTreeMap::new() };
    let interfaces = resolve.interfaces.iter().map(|(_, interface)| interface);
    interfaces.filter_map(|it| Some((it.name.clone()?, it.functions.keys().cloned().collect()))).collect()
});

/// Whether this host has the function of a service.
pub(super) fn has_function(interface: &str, function: &str) -> bool {
    FUNCTIONS.get(interface).is_some_and(|functions| functions.contains(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_functions_are_those_of_the_text() {
        assert!(WIT.iter().all(|(_, text)| {
            let package = format!("package tidegate:plugin@{VERSION};");
            text.contains(&package) || !text.contains("package ")
        }));
        assert!(has_function("state", "atomic-add") && has_function("http", "send"));
        assert!(!has_function("state", "send") && !has_function("states", "get"));
    }

    #[test]
    fn every_file_of_the_contract_is_there() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name();
            assert!(name == "README.md" || WIT.iter().any(|(known, _)| name == *known), "{name:?}");
        }
    }
}
