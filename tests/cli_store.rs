//! `tidegate store` as people and scripts meet it.
#![cfg(all(feature = "daemon", feature = "sqlite"))]

#[expect(dead_code, reason = "clients that run in the background are for other tests")]
mod cli_support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use cli_support::{Daemon, Folder, Outcome, run, tidegate};

/// A folder in which a broker has kept a retained message and a session with one that waits.
fn used(folder: &Folder) -> String {
    let data = folder.path("data");
    let mut daemon = Daemon::start(&["--data", &data]);
    let session = ["-V", "5", "-i", "away", "-q", "1", "-t", "news/#"];
    let subscribed = [&session[..], &["-c", "-E"]].concat();
    let outcome = daemon.client("sub", &subscribed);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let publish = ["-V", "5", "-q", "1", "-t", "news/1", "-m", "hello", "-r"];
    assert_eq!(daemon.client("pub", &publish).code, 0);
    assert_eq!(daemon.terminate(), 0);
    data
}

fn contents(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

fn piped(arguments: &[&str], input: &str) -> Outcome {
    let mut child = tidegate()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses the command line does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn what_a_broker_kept_is_checked_counted_and_not_changed() {
    let folder = Folder::new("store-look");
    let data = used(&folder);
    let before = contents(&data);
    let check = run(&["store", "check", "--data", &data]);
    assert_eq!(check.code, 0, "{}", check.err);
    assert!(check.out.contains("is sound\n"), "{}", check.out);
    let stats = run(&["store", "stats", "--data", &data]);
    assert_eq!(stats.code, 0, "{}", stats.err);
    for line in [
        "version of the tables  1\n",
        "sessions               1; 0 connected at the end, 0 expired\n",
        "deliveries queued      1, 11 B\n",
        "retained messages      1, 11 B; 0 expired\n",
        "  away: 17 B; 1 queued, 0 in flight, 1 subscriptions, 0 items\n",
    ] {
        assert!(stats.out.contains(line), "{line}: {}", stats.out);
    }
    let json = run(&["store", "stats", "--data", &data, "--json"]);
    let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(object["queued"]["count"], 1);
    assert_eq!(object["version"], 1);
    assert!(object["alive"].as_u64().is_some() && object["bytes-on-disk"].as_u64() > Some(4096));
    assert_eq!(object["largest-sessions"][0]["client-identifier"], "away");
    assert!(contents(&data) == before, "something was changed");
}

#[test]
fn a_broker_goes_on_with_what_was_moved() {
    let folder = Folder::new("store-move");
    let (data, moved) = (used(&folder), folder.path("moved"));
    let export = run(&["store", "export", "--data", &data, "-"]);
    assert_eq!(export.code, 0, "{}", export.err);
    let import = piped(&["store", "import", "--data", &moved, "-"], &export.out);
    assert_eq!(import.code, 0, "{}", import.err);
    assert!(import.out.contains("retained messages      1"), "{}", import.out);
    let daemon = Daemon::start(&["--data", &moved]);
    let session = ["-V", "5", "-i", "away", "-q", "1", "-t", "other", "-c", "-C", "1", "-W", "10", "-v"];
    assert_eq!(daemon.client("sub", &session).out, "news/1 hello\n");
    let retained = daemon.client("sub", &["-t", "news/1", "-C", "1", "-W", "10"]);
    assert_eq!(retained.out, "hello\n");
}

#[test]
fn a_file_survives_and_is_not_written_over() {
    let folder = Folder::new("store-file");
    let (data, file) = (used(&folder), folder.path("backup.jsonl"));
    let export = run(&["store", "export", "--data", &data, &file]);
    assert_eq!(export.code, 0, "{}", export.err);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = run(&["store", "export", "--data", &data, &file]);
    assert_eq!(again.code, 64);
    assert!(again.err.contains("is there already; name another file"), "{}", again.err);
    let refused = run(&["store", "import", "--data", &data, &file]);
    assert_eq!(refused.code, 74);
    assert!(refused.err.contains("is not empty: it has 1 sessions, 1 retained messages"), "{}", refused.err);
    let replaced = run(&["store", "import", "--data", &data, "--replace", &file]);
    assert_eq!(replaced.code, 0, "{}", replaced.err);
    let second = run(&["store", "export", "--data", &data, "-"]);
    assert_eq!(second.out, fs::read_to_string(&file).unwrap());
}

#[test]
fn of_a_wrong_file_nothing_is_taken() {
    let folder = Folder::new("store-wrong");
    let (data, new) = (used(&folder), folder.path("new"));
    let text = run(&["store", "export", "--data", &data, "-"]).out;
    let wrong = text.replace("\"qos\":1", "\"qos\":7");
    let file = folder.write("wrong.jsonl", &wrong);
    let before = contents(&data);
    for arguments in [&["--data", &data, "--replace", &file][..], &["--data", &new, &file]] {
        let outcome = run(&[&["store", "import"], arguments].concat());
        assert_eq!(outcome.code, 64, "{}", outcome.err);
        assert!(outcome.err.contains("cannot be imported; nothing was changed\nline "), "{}", outcome.err);
        assert!(outcome.err.contains("a QoS is 7; write 0, 1 or 2"), "{}", outcome.err);
    }
    assert!(contents(&data) == before, "something was changed");
    assert!(!PathBuf::from(&new).exists());
}

#[test]
fn retained_messages_of_mqttnet_are_put_beside_what_is_there() {
    let folder = Folder::new("store-mqttnet");
    let data = used(&folder);
    let list = r#"[{"Topic":"from/mqttnet","Payload":"aGk=","QualityOfServiceLevel":1}]"#;
    let file = folder.write("RetainedMessages.json", list);
    let merged = run(&["store", "import", "--data", &data, "--merge", &file]);
    assert_eq!(merged.code, 0, "{}", merged.err);
    let daemon = Daemon::start(&["--data", &data]);
    let outcome = daemon.client("sub", &["-t", "from/#", "-t", "news/#", "-v", "-C", "2", "-W", "10"]);
    let mut lines: Vec<_> = outcome.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["from/mqttnet hi", "news/1 hello"]);
    let wrong = folder.write("wrong.json", r#"[{"Topic":"a/#","Payload":"aGk="}]"#);
    let refused = run(&["store", "import", "--data", &folder.path("other"), &wrong]);
    assert_eq!(refused.code, 64);
    assert!(refused.err.contains("\nentry 1: Topic: "), "{}", refused.err);
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new("store-used");
    let data = folder.path("data");
    let _daemon = Daemon::start(&["--data", &data]);
    let file = folder.write("list.json", "[]");
    for arguments in [&["check"][..], &["stats"], &["export", "-"], &["import", &file]] {
        let outcome = run(&[&["store"], arguments, &["--data", &data]].concat());
        assert_eq!(outcome.code, 74, "{arguments:?}");
        assert!(outcome.err.contains("is in use by another process: stop that"), "{}", outcome.err);
    }
}

#[test]
fn a_place_that_is_not_there_or_not_sound_ends_with_74() {
    let folder = Folder::new("store-unsound");
    let missing = run(&["store", "check", "--data", &folder.path("none")]);
    assert_eq!(missing.code, 74);
    assert!(missing.err.contains("none is not there: name the data folder of a broker"), "{}", missing.err);
    let data = used(&folder);
    rusqlite::Connection::open(PathBuf::from(&data).join("tidegate.db"))
        .unwrap()
        .execute_batch("DELETE FROM session")
        .unwrap();
    let unsound = run(&["store", "check", "--data", &data]);
    assert_eq!(unsound.code, 74);
    assert!(unsound.err.contains("is not sound\ndelivery "), "{}", unsound.err);
    assert!(unsound.err.contains("which is not there"), "{}", unsound.err);
    // It can be moved nevertheless, and is told again.
    let text = run(&["store", "export", "--data", &data, "-"]).out;
    let import = piped(&["store", "import", "--data", &folder.path("moved"), "-"], &text);
    assert_eq!(import.code, 0, "{}", import.err);
    assert!(import.err.contains("warning: delivery "), "{}", import.err);
}

#[test]
fn the_place_can_be_that_of_a_configuration() {
    let folder = Folder::new("store-config");
    used(&folder);
    let file = folder.write("t.toml", "[storage]\ndata = \"data\"\n");
    assert_eq!(run(&["store", "check", "--config", &file]).code, 0);
    let without = folder.write("none.toml", "");
    let outcome = run(&["store", "check", "--config", &without]);
    assert_eq!(outcome.code, 64);
    assert!(outcome.err.contains("has no section [storage]"), "{}", outcome.err);
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let folder = Folder::new("store-usage");
    let (url, list) = (folder.write("url", "postgres://x\n"), folder.write("list.json", "[]"));
    for arguments in [
        &["check"][..],
        &["check", "--data", "a", "--config", "b"],
        &["check", "--url", "postgres://x"],
        &["check", "--url-file", &url],
        &["check", "--url", "mysql://u@h/d", "--table-prefix", "a-b"],
        &["check", "--data", "a", "--table-prefix", "b_"],
        &["check", "--table-prefix", "b_"],
        &["export", "--data", "a"],
        &["import", "--data", "a", "--replace", "--merge", &list],
        &["import", "--data", "a", "--format", "xml", &list],
        &["import", "--data", "a", "none.jsonl"],
        &["import", "--data", "a", "."],
    ] {
        let outcome = run(&[&["store"], arguments].concat());
        assert_eq!(outcome.code, 64, "{arguments:?}: {}", outcome.err);
        assert!(!outcome.err.is_empty(), "{arguments:?}");
    }
}
