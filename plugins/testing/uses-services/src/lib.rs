//! Does what a message asks for: `do/{what}` with words in the payload. The Reason String of its acknowledgement says
//! what came of it. At CONNECT, the User Name says what to do: `mount` puts the client below `tenants/{password}`,
//! `item` keeps the password as item `password` of the session.

use std::time::Duration;
use tidegate_plugin::prelude::*;

#[derive(Default)]
struct UsesServices;

impl ValidatingConnection for UsesServices {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        let password = connect.password().unwrap_or_default();
        match connect.user_name().unwrap_or_default() {
            "mount" => {
                ConnectVerdict::Allow.mount_prefix(&format!("tenants/{}", String::from_utf8_lossy(password)))
            }
            "item" => {
                let set = session_items::set("password", password);
                let seen = session_items::get("password");
                ConnectVerdict::Allow.reason_string(&format!("{} {}", item(set), text(seen)))
            }
            _ => ConnectVerdict::Allow,
        }
    }
}

impl InterceptingPublish for UsesServices {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let Some(what) = publish.topic().strip_prefix("do/") else { return PublishVerdict::Continue };
        let payload = String::from_utf8_lossy(publish.payload()).into_owned();
        let words: Vec<&str> = payload.split(' ').collect();
        PublishVerdict::Swallow.reason_string(&act(what, &words))
    }
}

fn act(what: &str, words: &[&str]) -> String {
    let word = |index: usize| words.get(index).copied().filter(|word| !word.is_empty());
    let first = word(0).unwrap_or_default();
    match what {
        "get-item" => text(session_items::get(first)),
        "set-item" => item(session_items::set(first, word(1).unwrap_or_default().as_bytes())),
        "delete-item" => session_items::delete(first).to_string(),
        "fill-items" => fill_items(),
        "session" => match broker::session(first) {
            Ok(Some(it)) => format!("connected={} subscriptions={}", it.connected, it.subscriptions),
            other => done(other.map(|_| ())),
        },
        "client" => match broker::connected_client(first) {
            Ok(Some(it)) => {
                format!("{} {} {}", it.user_name.unwrap_or_default(), it.listener, it.protocol_version)
            }
            other => done(other.map(|_| ())),
        },
        "sessions" => list(broker::sessions(word(1), first.parse().unwrap_or(0))),
        "clients" => list(broker::connected_clients(word(1), first.parse().unwrap_or(0))),
        "retained" => match broker::retained(first) {
            Ok(Some(it)) => format!("{} {:?}", String::from_utf8_lossy(&it.payload), it.qos),
            other => done(other.map(|_| ())),
        },
        "matching-retained" => list(broker::matching_retained(first, word(1), 2)),
        "subscribe" => done(broker::subscribe(first, word(1).unwrap_or_default(), Qos::AtLeastOnce)),
        "unsubscribe" => done(broker::unsubscribe(first, word(1).unwrap_or_default())),
        "disconnect" => done(broker::disconnect(first, reason::ADMINISTRATIVE_ACTION)),
        "publish" => done(broker::publish(first, b"published", Qos::AtLeastOnce, false)),
        "publish-later" => {
            let delay = Duration::from_millis(first.parse().unwrap_or(u64::MAX));
            let topic = word(1).unwrap_or_default();
            done(broker::publish_later(delay, topic, b"later", Qos::AtLeastOnce, false, &[]))
        }
        "add" => state::atomic_add(first, 1).map_or("refused".into(), |sum| sum.to_string()),
        "compare" => compare_and_count(first),
        "count" => {
            metrics::count("asked_total", &[("by", first)], 2);
            metrics::gauge("last", &[], 1.5);
            metrics::observe("size", &[], 3.0);
            metrics::gauge("asked_total", &[("by", first)], 7.0);
            metrics::count("no name", &[], 1);
            String::new()
        }
        other => format!("cannot {other}"),
    }
}

/// Counts by compare-and-set, as others may count meanwhile.
fn compare_and_count(key: &str) -> String {
    loop {
        let old = state::get(key);
        let count = old.as_deref().and_then(|old| str::from_utf8(old).ok()?.parse::<u64>().ok());
        let new = (count.unwrap_or(0) + 1).to_string();
        match state::compare_and_set(key, old.as_deref(), Some(new.as_bytes())) {
            Ok(true) => return new,
            Ok(false) => {}
            Err(_) => return "refused".into(),
        }
    }
}

fn fill_items() -> String {
    let fits = |number: &usize| session_items::set(&format!("item-{number:03}"), &[0; 1000]).is_ok();
    (0..1000).take_while(fits).count().to_string()
}

fn list(names: Result<Vec<String>, broker::Error>) -> String {
    match names {
        Ok(names) => names.join(" "),
        Err(error) => error.name().to_owned(),
    }
}

fn done(outcome: Result<(), broker::Error>) -> String {
    outcome.map_or_else(|error| error.name(), |()| "done").to_owned()
}

fn item(outcome: Result<(), session_items::Error>) -> String {
    outcome.map_or_else(|error| error.name(), |()| "done").to_owned()
}

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

tidegate_plugin::export!(UsesServices: validating_connection, intercepting_publish);
