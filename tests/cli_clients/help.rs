//! Help texts, word for word: they are what people read first.

use crate::cli_support::run;

/// Writes the texts anew where it is set.
const BLESS: &str = "TIDEGATE_BLESS";

#[test]
fn the_help_of_the_clients_is_what_it_was_said_to_be() {
    for command in ["pub", "sub", "rpc"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{}", help.err);
        let file = format!("{}/tests/cli_clients/help/{command}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&file, &help.out).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap();
        assert_eq!(help.out, expected, "{BLESS}=1 writes {file} anew");
    }
}
