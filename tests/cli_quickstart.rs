//! What `./quickstart` tells a newcomer to try, tried: real plugins, a real device's token, a changed rule.
#![cfg(all(feature = "daemon", feature = "wasm", unix))]

use std::process::Command;

#[test]
fn everything_that_quickstart_tells_to_try_works() {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/quickstart"))
        .arg("--check")
        .env("TIDEGATE", env!("CARGO_BIN_EXE_tidegate"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
