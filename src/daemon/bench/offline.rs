//! Sessions are away while messages come for them; then they come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::stamp::{Stamp, is_double};
use super::tally::Tally;
use super::worker::Run;
use crate::client::{Client, Messages};
use crate::packet::{Publish, SubscribeFilter};

/// Who comes back waits so long for the next message.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(run: &Arc<Run>, thread: u32) -> Tally {
    let mut tally = Tally::default();
    leave_sessions(run, thread, &mut tally).await;
    if !run.go_on(&tally).await {
        return tally;
    }
    queue(run, thread, &mut tally).await;
    run.step().await;
    come_back(run, thread, &mut tally).await;
    tally
}

async fn leave_sessions(run: &Arc<Run>, thread: u32, tally: &mut Tally) {
    let plan = &run.plan;
    let wanted =
        plan.share(thread, plan.subscribers).map(|number| (number, plan.kept_options("away", number)));
    for (number, client) in run.connect(wanted, tally).await {
        let filter = SubscribeFilter::new(plan.filter_of(number).into(), plan.qos);
        match client.subscribe_only(vec![filter]).await {
            Ok(suback) if suback.reason_codes.iter().any(|reason| reason.is_error()) => {
                tally.refuse(format!("the server refused to subscribe: {:?}", suback.reason_codes));
            }
            Ok(_) => {}
            Err(error) => tally.refuse(error.to_string()),
        }
        if let Err(error) = client.disconnect().await {
            tally.refuse(error.to_string());
        }
    }
}

/// A thread publishes for the sessions that are its own, with the publishers that are.
async fn queue(run: &Arc<Run>, thread: u32, tally: &mut Tally) {
    let plan = &run.plan;
    let sessions: Arc<[u32]> = plan.share(thread, plan.subscribers).collect();
    let publishers = (plan.publishers / plan.threads).max(1);
    let wanted = (0..publishers).map(|number| (number, plan.options("pub", thread + number * plan.threads)));
    let publishers = run.connect(wanted, tally).await;
    let (count, window) = (publishers.len(), plan.window as usize);
    let begun = Instant::now();
    let mut publishing = JoinSet::new();
    for (number, (_, client)) in publishers.into_iter().enumerate() {
        for place in 0..window {
            // Each session's messages are one place's, and so keep their order.
            let own =
                sessions.iter().copied().skip(number * window + place).step_by(count * window).collect();
            publishing.spawn(publish(run.clone(), client.clone(), own));
        }
    }
    while let Some(done) = publishing.join_next().await {
        match done {
            Ok(own) => tally.add(&own),
            Err(error) => tally.fail(error.to_string()),
        }
    }
    tally.queueing = begun.elapsed();
}

async fn publish(run: Arc<Run>, client: Client, sessions: Vec<u32>) -> Tally {
    let mut tally = Tally::default();
    for number in 0..u64::from(run.plan.messages) {
        for &session in &sessions {
            let sent = run.clock.now();
            let stamp = Stamp { sent, publisher: session, number };
            let topic = run.plan.topic_of(session).into();
            let message = Publish::new(topic, stamp.payload(run.plan.size)).with_qos(run.plan.qos);
            tally.sent += 1;
            match client.publish(message).await {
                Ok(_) => {
                    tally.acknowledge.record(run.clock.now().saturating_sub(sent));
                    tally.sent_counted += 1;
                    run.published[session as usize].fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => tally.fail(error.to_string()),
            }
        }
    }
    tally
}

async fn come_back(run: &Arc<Run>, thread: u32, tally: &mut Tally) {
    let plan = &run.plan;
    let begun = Instant::now();
    let mut draining = JoinSet::new();
    for number in plan.share(thread, plan.subscribers) {
        draining.spawn(drain(run.clone(), number));
    }
    while let Some(done) = draining.join_next().await {
        match done {
            Ok(own) => tally.add(&own),
            Err(error) => tally.fail(error.to_string()),
        }
    }
    tally.draining = begun.elapsed();
}

/// Takes all that waited for a session, and ends it.
async fn drain(run: Arc<Run>, number: u32) -> Tally {
    let expected = run.published[number as usize].load(Ordering::SeqCst);
    let mut tally = Tally { expected, ..Tally::default() };
    let client = match Client::new(run.plan.kept_options("away", number)) {
        Ok(client) => client,
        Err(error) => {
            tally.refuse(error.to_string());
            return tally;
        }
    };
    let mut messages = client.messages();
    {
        let _permit = run.connecting.acquire().await;
        if let Err(error) = client.connect().await {
            tally.refuse(format!("failed to {error}"));
            return tally;
        }
    }
    take(&mut messages, &mut tally).await;
    let _ = client.disconnect().await;
    drop(client);
    let mut last = run.plan.options("away", number);
    last.connect.clean_start = true;
    if let Ok(client) = crate::client::connect(last).await {
        let _ = client.disconnect().await;
    }
    tally
}

async fn take(messages: &mut Messages, tally: &mut Tally) {
    let mut seen = HashMap::new();
    while tally.received - tally.doubled < tally.expected {
        let Ok(Some(message)) = timeout(SILENCE, messages.next()).await else { break };
        let Some(stamp) = Stamp::read(&message.payload) else { continue };
        tally.received += 1;
        if is_double(&mut seen, stamp) {
            tally.doubled += 1;
        }
    }
    tally.received_counted = tally.received;
}
