//! The text of `wit/`, for modules whose world follows from their names, and for projects of plugin authors.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_contract_is_there() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name();
            assert!(WIT.iter().any(|(known, _)| name == *known), "{name:?}");
        }
    }
}
