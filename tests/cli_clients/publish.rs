//! `tidegate pub`: many messages, refusals, interruptions.

use std::io::Write;
use std::process::{Command, Stdio};

use tidegate::packet::{Packet, ProtocolVersion, QoS};

use crate::cli_support::{Background, Daemon, Folder, run, tidegate};
use crate::support::{Reading, Silent, publish_lines, signal, wait_for_port};

/// How the client is told where the broker is.
fn at(port: u16) -> Vec<String> {
    ["-h", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).into()
}

fn words<'a>(command: &'a str, at: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    [command].into_iter().chain(at.iter().map(String::as_str)).chain(more.iter().copied()).collect()
}

#[cfg(feature = "sqlite")]
#[test]
fn no_line_is_lost_where_the_broker_is_killed_and_started_again_in_the_middle() {
    const LINES: usize = 20_000;
    let folder = Folder::new("killed");
    let (data, port) = (folder.path("data"), crate::support::free_port());
    let listen = format!("127.0.0.1:{port}");
    let start = || {
        let broker = Background::start(&["run", "--data", &data, "--listen", &listen]);
        wait_for_port(port);
        broker
    };
    let mut broker = start();
    let at = at(port);
    let keeper = ["-i", "keeper", "-c", "-q", "1", "-t", "lines"];
    assert_eq!(run(&words("sub", &at, &[&keeper[..], &["-E"]].concat())).code, 0);
    let mut subscriber = Reading::start(&words("sub", &at, &keeper));
    let mut publishing = tidegate()
        .args(words("pub", &at, &["-t", "lines", "-l", "-q", "1", "--quiet"]))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = publishing.stdin.take().unwrap();
    let mut write = |range: std::ops::Range<usize>| {
        let text: String = range.map(|number| format!("{number}\n")).collect();
        lines.write_all(text.as_bytes()).unwrap();
    };
    let mut missing: std::collections::HashSet<String> =
        (0..LINES).map(|number| number.to_string()).collect();
    write(0..LINES / 2);
    while missing.len() > LINES * 3 / 4 {
        missing.remove(&subscriber.line());
    }
    broker.kill();
    write(LINES / 2..LINES);
    drop(lines);
    let _broker = start();
    assert_eq!(publishing.wait().unwrap().code(), Some(0));
    while !missing.is_empty() {
        missing.remove(&subscriber.line());
    }
}

#[test]
fn many_lines_do_not_wait_for_each_other_and_their_progress_is_told() {
    const LINES: usize = 100_000;
    let daemon = Daemon::start(&[]);
    let at = at(daemon.port);
    let text: String = (0..LINES).map(|number| format!("{number}\n\n")).collect();
    for (qos, version) in [("0", "311"), ("1", "5"), ("2", "311")] {
        let more = ["-t", "many", "-l", "-q", qos, "-V", version, "--progress"];
        let (err, code) = publish_lines(&words("pub", &at, &more), &text);
        assert_eq!(code, 0, "{err}");
        // Empty lines are no messages.
        assert!(err.contains(&format!("{LINES} sent, {LINES} acknowledged in ")), "{err}");
    }
}

#[test]
fn each_refusal_is_told_with_its_reason_and_the_others_are_published() {
    let folder = Folder::new("refused");
    let text = "[broker]\nmaximum-topic-levels = 2\n\
                [[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n\
                default-authorization = \"allow\"\n";
    let daemon = Daemon::start(&["--config", &folder.write("t.toml", text)]);
    let at = at(daemon.port);
    let refused = |more: &[&str]| {
        let arguments = [&["-t", "a/b/c", "-l", "-q", "1", "-V", "5"], more].concat();
        publish_lines(&words("pub", &at, &arguments), "1\n2\n3\n")
    };
    let (err, code) = refused(&[]);
    assert_eq!(code, 69, "{err}");
    assert_eq!(err.matches("the broker refused a message: Topic Name invalid (0x90)").count(), 3, "{err}");
    assert!(err.contains("the broker refused 3 of 3 messages"), "{err}");
    assert_eq!(refused(&["--quiet"]), (String::new(), 69));
    let one = daemon.client("pub", &["-t", "a/b/c", "-m", "x", "-q", "2", "-V", "5"]);
    assert_eq!((one.code, one.err.lines().count()), (69, 1), "{}", one.err);
}

#[test]
fn a_message_is_repeated_and_waits_between_for_as_long_as_is_said() {
    let daemon = Daemon::start(&[]);
    let at = at(daemon.port);
    let mut subscriber = Reading::start(&words("sub", &at, &["-t", "tick/#", "-T", "tick/probe", "-C", "3"]));
    daemon_has_subscribers(&daemon, "tick/probe");
    let begun = std::time::Instant::now();
    let repeated =
        daemon.client("pub", &["-t", "tick/1", "-m", "tock", "--repeat", "3", "--repeat-delay", "0.2"]);
    assert_eq!(repeated.code, 0, "{}", repeated.err);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(400));
    let lines: Vec<String> = (0..3).map(|_| subscriber.line()).collect();
    assert_eq!((lines, subscriber.wait()), (vec!["tock".to_owned(); 3], Some(0)));
}

/// Waits until somebody gets messages of this topic.
pub fn daemon_has_subscribers(daemon: &Daemon, topic: &str) {
    let probe = ["-t", topic, "-n", "-q", "1", "-V", "5", "-d"];
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let probed = daemon.client("pub", &probe);
        if !probed.err.contains("No matching subscribers") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{}", probed.err);
    }
}

#[test]
fn an_interruption_says_what_was_not_acknowledged() {
    let silent = Silent::new();
    let at = at(silent.port);
    let mut publishing = Background::start(&words("pub", &at, &["-t", "a", "-m", "x", "-q", "1"]));
    let mut connection = silent.accept();
    assert!(matches!(connection.receive(), Packet::Connect(_)));
    connection.let_in(ProtocolVersion::V311);
    let Packet::Publish(publish) = connection.receive() else { panic!("no PUBLISH") };
    assert_eq!((publish.qos, &publish.payload[..]), (QoS::AtLeastOnce, &b"x"[..]));
    signal(publishing.id(), "-INT");
    publishing.wait_for("waiting for 1 messages");
    signal(publishing.id(), "-INT");
    let asked = std::time::Instant::now();
    let outcome = publishing.finish();
    // The second time it waits no longer, which would be five seconds.
    assert!(asked.elapsed() < std::time::Duration::from_secs(4));
    assert_eq!(outcome.code, 75, "{}", outcome.err);
    assert!(outcome.err.contains("1 messages were not acknowledged"), "{}", outcome.err);
}

#[test]
fn a_connection_that_is_lost_ends_it_where_that_is_wanted() {
    let silent = Silent::new();
    let at = at(silent.port);
    let mut publishing =
        Background::start(&words("pub", &at, &["-t", "a", "-m", "x", "-q", "1", "--no-retry"]));
    let mut connection = silent.accept();
    assert!(matches!(connection.receive(), Packet::Connect(_)));
    connection.let_in(ProtocolVersion::V311);
    assert!(matches!(connection.receive(), Packet::Publish(_)));
    drop(connection);
    let outcome = publishing.finish();
    assert_eq!(outcome.code, 69, "{}", outcome.err);
}

#[test]
fn a_connection_that_is_lost_ends_it_also_while_it_waits_for_lines() {
    let silent = Silent::new();
    let at = at(silent.port);
    let mut publishing = tidegate()
        .args(words("pub", &at, &["-t", "a", "-l", "--no-retry"]))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = publishing.stdin.take();
    let mut connection = silent.accept();
    assert!(matches!(connection.receive(), Packet::Connect(_)));
    connection.let_in(ProtocolVersion::V311);
    drop(connection);
    let outcome = publishing.wait_with_output().unwrap();
    assert_eq!(outcome.status.code(), Some(69), "{}", String::from_utf8_lossy(&outcome.stderr));
    drop(lines);
}

#[test]
fn a_broker_that_starts_later_is_waited_for_where_that_is_wanted() {
    let port = crate::support::free_port();
    let at = at(port);
    let mut publishing = Background::start(&words("pub", &at, &["-t", "a", "-m", "x", "-q", "1", "--retry"]));
    publishing.wait_for("again in");
    let _broker = Background::start(&["run", "--listen", &format!("127.0.0.1:{port}")]);
    let outcome = publishing.finish();
    assert_eq!(outcome.code, 0, "{}", outcome.err);
}

#[test]
fn a_client_that_is_not_let_in_ends_with_77_and_the_reason() {
    let folder = Folder::new("closed");
    let text = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n";
    let daemon = Daemon::start(&["--config", &folder.write("t.toml", text)]);
    for command in [&["pub", "-t", "a", "-m", "x"][..], &["sub", "-t", "a"], &["rpc", "-t", "a", "-m", "x"]] {
        for version in ["311", "5"] {
            let more = [&command[1..], &["-V", version, "--retry"]].concat();
            let refused = daemon.client(command[0], &more);
            assert_eq!(refused.code, 77, "{command:?}: {}", refused.err);
            assert!(refused.err.contains("ot authorized (0x"), "{}", refused.err);
        }
    }
}

#[test]
fn a_broker_that_says_nothing_is_given_up_in_time() {
    let silent = Silent::new();
    let at = at(silent.port);
    let outcome = run(&words("pub", &at, &["-t", "a", "-m", "x", "--connect-timeout", "0.2"]));
    assert_eq!(outcome.code, 69);
    assert!(outcome.err.contains("no answer"), "{}", outcome.err);
}

#[test]
fn a_password_comes_from_the_command_line_a_file_the_environment_or_a_uri() {
    let folder = Folder::new("passwords");
    let file = folder.write("password", "from a file\n");
    let silent = Silent::new();
    let at = at(silent.port);
    let uri = format!("mqtt://ada:from%20a%20uri@127.0.0.1:{}/a", silent.port);
    let given = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).args(["-m", "x"]).stderr(Stdio::null());
        if let Some(password) = variable {
            command.env("TIDEGATE_PASSWORD", password);
        }
        let mut child = command.spawn().unwrap();
        let Packet::Connect(connect) = silent.accept().receive() else { panic!("no CONNECT") };
        child.wait().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (connect.user_name.as_deref().map(str::to_owned), connect.password.as_deref().map(text))
    };
    let ada = |password: &str| (Some("ada".to_owned()), Some(password.to_owned()));
    let with = |more: &[&'static str]| {
        words("pub", &at, &[&["-t", "a"], more].concat()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let given_words =
        |words: Vec<String>, variable| given(&words.iter().map(String::as_str).collect::<Vec<_>>(), variable);
    assert_eq!(given_words(with(&["-u", "ada", "-P", "typed"]), Some("unused")), ada("typed"));
    assert_eq!(given_words(with(&["-u", "ada"]), Some("from outside")), ada("from outside"));
    assert_eq!(given_words(with(&[]), Some("of another command")), (None, None));
    let mut from_file = with(&["-u", "ada", "--pw-file"]);
    from_file.push(file.clone());
    assert_eq!(given_words(from_file, Some("unused")), ada("from a file"));
    assert_eq!(given(&["pub", "-L", &uri], Some("unused")), ada("from a uri"));
    assert_eq!(
        given(&["pub", "-L", &uri, "-u", "bob", "-P", "x"], None),
        (Some("bob".into()), Some("x".into()))
    );
}
