//! Does everything that a plugin must not do: what, the last level of the topic or the User Name says.

use std::hint::black_box;

use tidegate_plugin::prelude::*;

#[derive(Default)]
struct Hostile;

impl InterceptingPublish for Hostile {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let wish = publish.topic().rsplit('/').next().unwrap_or_default();
        match wish {
            "rubbish" | "rubbish-reason" => PublishVerdict::Reject(0x00),
            "rubbish-topic" => PublishVerdict::Modify(Modification::new().topic("a/#")),
            "rubbish-long-topic" => PublishVerdict::Modify(Modification::new().topic("t".repeat(70_000))),
            "rubbish-empty-topic" => PublishVerdict::Modify(Modification::new().topic("")),
            "huge-payload" => PublishVerdict::Modify(Modification::new().payload(vec![b'x'; 48 << 20])),
            wish => {
                misbehave(wish);
                PublishVerdict::Continue
            }
        }
    }
}

impl ValidatingConnection for Hostile {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        match connect.user_name().unwrap_or_default() {
            "rubbish" => ConnectVerdict::Deny(0x00),
            "rubbish-identifier" => ConnectVerdict::Allow.assign_client_identifier(&"c".repeat(70_000)),
            wish => {
                misbehave(wish);
                ConnectVerdict::Allow
            }
        }
    }
}

/// Anything it does not know (`ok`) it does nothing for.
fn misbehave(wish: &str) {
    match wish {
        "loop" => spin(),
        "allocate" => allocate(),
        "recurse" => {
            black_box(recurse(1));
        }
        "trap" => panic!("as asked"),
        "flood-log" => flood_log(),
        "flood-publish" => flood_publish(),
        "flood-state" => flood_state(),
        _ => {}
    }
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

fn allocate() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

/// With small frames, so that the broker's limit is met before the guest's own stack ends.
#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    black_box(depth).wrapping_add(recurse(depth + 1))
}

fn flood_log() {
    for line in 0..100_000 {
        log::error!("flood", line = line);
    }
}

/// Publishes until the broker has had enough; the last log line says how many it took.
fn flood_publish() {
    let taken =
        (0..100_000).take_while(|_| broker::publish("flood", b"x", Qos::AtMostOnce, false).is_ok()).count();
    log::info!("flooded", taken = taken);
}

fn flood_state() {
    let value = vec![0; 64 << 10];
    let taken = (0..100_000).take_while(|key| state::set(&format!("flood/{key}"), &value).is_ok()).count();
    log::info!("flooded", taken = taken);
}

tidegate_plugin::export!(Hostile: intercepting_publish, validating_connection);
