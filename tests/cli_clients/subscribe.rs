//! `tidegate sub`: what is printed, what is removed, and how it ends.

use crate::cli_support::Daemon;
use crate::publish::daemon_has_subscribers;
use crate::support::Reading;

fn start(daemon: &Daemon, more: &[&str]) -> Reading {
    let port = daemon.port.to_string();
    Reading::start(&[&["sub", "-h", "127.0.0.1", "-p", &port], more].concat())
}

fn publish(daemon: &Daemon, topic: &str, payload: &str, more: &[&str]) {
    let sent = daemon.client("pub", &[&["-q", "1", "-t", topic, "-m", payload], more].concat());
    assert_eq!(sent.code, 0, "{}", sent.err);
}

/// What is retained there, as lines of topic and payload.
fn retained(daemon: &Daemon) -> Vec<String> {
    publish(daemon, "end", "end", &["-r"]);
    let all = daemon.client("sub", &["-t", "#", "-v", "--retained-only", "-W", "1"]);
    let mut lines: Vec<String> =
        all.out.lines().filter(|line| *line != "end end").map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn each_line_comes_at_once_and_an_interruption_ends_with_0() {
    let daemon = Daemon::start(&[]);
    for name in ["-INT", "-TERM"] {
        let more = ["-t", "t/#", "-T", "t/probe", "-v", "-V", "5"];
        let mut subscriber = start(&daemon, &more);
        daemon_has_subscribers(&daemon, "t/probe");
        publish(&daemon, "t/1", "one", &[]);
        assert_eq!(subscriber.line(), "t/1 one");
        subscriber.signal(name);
        assert_eq!(subscriber.wait(), Some(0));
    }
}

#[test]
fn the_subscription_identifier_that_is_shown_is_the_one_that_was_asked_for() {
    let daemon = Daemon::start(&[]);
    publish(&daemon, "t", "x", &["-r"]);
    for (more, expected) in
        [(&["-V", "5"][..], "[]\n"), (&["-D", "subscribe", "subscription-identifier", "77"], "[77]\n")]
    {
        let got = daemon.client("sub", &[&["-t", "t", "-F", "[%S]", "-C", "1", "-W", "20"], more].concat());
        assert_eq!((got.code, got.out.as_str()), (0, expected), "{}", got.err);
    }
}

#[test]
fn it_ends_with_0_when_nobody_reads_what_it_prints() {
    let daemon = Daemon::start(&[]);
    let mut subscriber = start(&daemon, &["-t", "flood", "-V", "5", "-i", "flooded"]);
    daemon_has_subscribers(&daemon, "flood");
    subscriber.line();
    subscriber.stop_reading();
    // The first finds out, or is in a buffer that nobody empties; the others find out.
    for _ in 0..3 {
        publish(&daemon, "flood", "x", &[]);
    }
    assert_eq!(subscriber.wait(), Some(0));
}

#[test]
fn several_topics_are_printed_and_those_that_are_filtered_out_are_not() {
    let daemon = Daemon::start(&[]);
    let more = ["-t", "a/#", "-t", "b", "-T", "a/secret/#", "-T", "a/+/no", "-v", "-C", "3", "-R"];
    let mut subscriber = start(&daemon, &more);
    daemon_has_subscribers(&daemon, "a/secret");
    for topic in ["a/secret/1", "b", "a/x/no", "c", "a/x/yes", "a"] {
        publish(&daemon, topic, "1", &[]);
    }
    let lines = [(); 3].map(|()| subscriber.line());
    assert_eq!((lines, subscriber.wait()), (["b 1", "a/x/yes 1", "a 1"].map(str::to_owned), Some(0)));
}

#[test]
fn retained_messages_are_removed_but_those_that_are_filtered_out() {
    let daemon = Daemon::start(&[]);
    for topic in ["old/1", "old/2", "old/keep/1", "other"] {
        publish(&daemon, topic, "x", &["-r"]);
    }
    let more = ["-t", "old/#", "-T", "old/keep/#", "--remove-retained", "-v", "-C", "2", "-W", "20"];
    let removed = daemon.client("sub", &more);
    assert_eq!((removed.code, removed.out.lines().count()), (0, 2), "{}", removed.err);
    assert_eq!(retained(&daemon), ["old/keep/1 x", "other x"]);
}

#[test]
fn only_retained_messages_are_printed_where_that_is_wanted_and_the_next_ends_it() {
    let daemon = Daemon::start(&[]);
    publish(&daemon, "t", "kept", &["-r"]);
    let mut subscriber = start(&daemon, &["-t", "t", "--retained-only", "-V", "5"]);
    assert_eq!(subscriber.line(), "kept");
    publish(&daemon, "t", "new", &[]);
    assert_eq!(subscriber.wait(), Some(0));
}

#[test]
fn retain_as_published_and_no_local_are_asked_for() {
    let daemon = Daemon::start(&[]);
    for (more, expected) in [(&["--retain-as-published"][..], "1 x"), (&["-V", "5"], "0 x")] {
        let arguments = [&["-t", "t", "-F", "%r %p", "-i", "s"], more].concat();
        let mut subscriber = start(&daemon, &arguments);
        daemon_has_subscribers(&daemon, "t");
        publish(&daemon, "t", "x", &["-r"]);
        let mut line = subscriber.line();
        while line.ends_with(' ') {
            line = subscriber.line();
        }
        assert_eq!(line, expected);
        // What was retained must not come to the next.
        publish(&daemon, "t", "", &["-r"]);
    }
    let local = daemon.client("sub", &["-t", "t", "--no-local", "-E", "-d"]);
    assert_eq!(local.code, 0, "{}", local.err);
}

#[test]
fn a_broker_that_comes_back_is_subscribed_to_again_and_that_is_told() {
    let port = crate::support::free_port();
    let listen = format!("127.0.0.1:{port}");
    let run = || {
        let broker = crate::cli_support::Background::start(&["run", "--listen", &listen]);
        crate::support::wait_for_port(port);
        broker
    };
    let mut broker = run();
    let arguments = ["sub", "-h", "127.0.0.1", "-p", &port.to_string(), "-t", "t", "-d", "-C", "1"];
    let mut subscriber = crate::cli_support::Background::start(&arguments);
    subscriber.wait_for("subscribed");
    broker.kill();
    subscriber.wait_for("again in");
    let _broker = run();
    subscriber.wait_for("connected again, with a new session");
    let at = ["-h", "127.0.0.1", "-p", &port.to_string()];
    let sent = crate::cli_support::run(&[&["pub", "-t", "t", "-m", "x", "-r", "-q", "1"][..], &at].concat());
    assert_eq!((sent.code, subscriber.finish().code), (0, 0));
}
