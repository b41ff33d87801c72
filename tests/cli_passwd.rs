//! `tidegate passwd`.
#![cfg(all(feature = "daemon", unix))]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use cli_support::{Folder, Outcome, tidegate};

/// Runs `passwd` with this on its standard input.
fn passwd(input: &str, arguments: &[&str]) -> Outcome {
    let mut command = tidegate();
    command.arg("passwd").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Where the command does not want it, it may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn without_a_file_the_line_is_printed_and_no_two_are_alike() {
    let lines: Vec<String> = (0..2).map(|_| passwd("secret\n", &["ada"]).out).collect();
    for line in &lines {
        assert!(line.starts_with("ada:$argon2id$v=19$m=19456,t=2,p=1$"), "{line}");
    }
    assert_ne!(lines[0], lines[1]);
}

#[test]
fn a_name_is_put_into_a_file_replaced_and_taken_out() {
    let folder = Folder::new("passwd");
    let file = folder.path("users");
    let lines = || fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(passwd("one", &["--file", &file, "ada"]).code, 0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(passwd("two", &["--file", &file, "bob"]).code, 0);
    let before = lines();
    assert_eq!(passwd("three", &["--file", &file, "ada"]).code, 0);
    let after = lines();
    assert_eq!((after.len(), &after[1]), (2, &before[1]));
    assert!(after[0].starts_with("ada:$argon2id$") && after[0] != before[0]);
    assert_eq!(passwd("", &["--file", &file, "--delete", "ada"]).code, 0);
    assert_eq!(lines(), after[1..]);
    assert_eq!(fs::read_dir(folder.path(".")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let folder = Folder::new("passwd-wrong");
    let file = folder.write("users", "ada:$7$x\n");
    let table: [(&str, &[&str], &str); 6] = [
        ("", &["--file", &file, "ada"], "the password is empty"),
        ("x", &["--file", &file, "--delete", "bob"], "has no name `bob`"),
        ("x", &["a:b"], "has neither `:`"),
        ("x", &["--delete", "ada"], "--file <FILE>"),
        ("x", &["--file", &folder.path("none/users"), "ada"], "failed to write beside"),
        ("x", &["--file", &folder.path("."), "ada"], "failed to read"),
    ];
    for (input, arguments, expected) in table {
        let outcome = passwd(input, arguments);
        assert_eq!(outcome.code, 64, "{arguments:?}: {}", outcome.err);
        assert!(outcome.err.contains(expected), "{arguments:?}: {}", outcome.err);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "ada:$7$x\n");
}
