//! Messages flow, from publishers to subscribers where there are any.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at, sleep_until, timeout};

use super::Scenario;
use super::stamp::{Stamp, is_double};
use super::tally::Tally;
use super::worker::Run;
use crate::client::{Client, Subscription};
use crate::packet::{Publish, QoS};

/// Who waits for messages gives up when none has come for so long.
const SILENCE: Duration = Duration::from_secs(3);

/// How often who waits looks whether there is anything left to wait for.
const LOOK: Duration = Duration::from_millis(50);

/// What is counted of a run.
#[derive(Clone, Copy)]
struct Counted {
    from: Duration,
    to: Duration,
}

impl Counted {
    fn contains(self, at: Duration) -> bool {
        (self.from..self.to).contains(&at)
    }
}

pub(super) async fn run(run: &Arc<Run>, thread: u32) -> Tally {
    let mut tally = Tally::default();
    let plan = &run.plan;
    let wanted = plan.share(thread, plan.subscribers).map(|number| (number, plan.options("sub", number)));
    let subscribers = run.connect(wanted, &mut tally).await;
    let subscriptions = subscribe(run, subscribers, &mut tally).await;
    let wanted = plan.share(thread, plan.publishers).map(|number| (number, plan.options("pub", number)));
    let publishers = run.connect(wanted, &mut tally).await;

    if !run.go_on(&tally).await {
        return tally;
    }
    let start = run.begin().await;
    let counted = Counted { from: start + plan.warm_up, to: start + plan.warm_up + plan.seconds };
    let mut receiving = JoinSet::new();
    for (number, subscription) in subscriptions {
        receiving.spawn(receive(run.clone(), number, subscription, counted));
    }
    let mut publishing = JoinSet::new();
    for (number, client) in publishers {
        for place in 0..plan.window {
            publishing.spawn(publish(run.clone(), number, place, client.clone(), start, counted));
        }
    }
    take_in(&mut publishing, &mut tally).await;
    run.step().await;
    run.quiet.store(true, Ordering::SeqCst);
    take_in(&mut receiving, &mut tally).await;
    run.step().await;
    // Each message is somebody's: who got it cannot be told beforehand.
    if plan.scenario == Scenario::Shared && thread == 0 {
        tally.expected = run.published_in_all();
    }
    tally
}

async fn take_in(work: &mut JoinSet<Tally>, tally: &mut Tally) {
    while let Some(done) = work.join_next().await {
        match done {
            Ok(own) => tally.add(&own),
            Err(error) => tally.fail(error.to_string()),
        }
    }
}

async fn subscribe(run: &Run, clients: Vec<(u32, Client)>, tally: &mut Tally) -> Vec<(u32, Subscription)> {
    let mut subscriptions = Vec::new();
    for (number, client) in clients {
        match client.subscribe((run.plan.filter_of(number).as_str(), run.plan.qos)).await {
            Ok(subscription) => subscriptions.push((number, subscription)),
            Err(error) => tally.refuse(error.to_string()),
        }
    }
    subscriptions
}

/// One of the places of a publisher's window: publishes, waits for the acknowledgement, publishes again.
async fn publish(
    run: Arc<Run>,
    number: u32,
    place: u32,
    client: Client,
    start: Duration,
    counted: Counted,
) -> Tally {
    let mut tally = Tally::default();
    let plan = &run.plan;
    let topic = bytestring::ByteString::from(plan.topic_of(number));
    let mut ticks = plan.rate.map(|rate| ticks(&run, start, rate, place));
    sleep_until(run.clock.instant(start)).await;
    loop {
        // With a rate, the time counts from when the message was due: a broker that is late with one is with the next.
        let sent = match &mut ticks {
            Some(ticks) => run.clock.at(ticks.tick().await),
            None => run.clock.now(),
        };
        if sent >= counted.to {
            return tally;
        }
        let next = run.begun[number as usize].fetch_add(1, Ordering::SeqCst);
        let stamp = Stamp { sent, publisher: number, number: next };
        let message = Publish::new(topic.clone(), stamp.payload(plan.size)).with_qos(plan.qos);
        tally.sent += 1;
        if let Err(error) = client.publish(message).await {
            tally.fail(error.to_string());
            if client.end().is_some() {
                return tally;
            }
            continue;
        }
        run.published[number as usize].fetch_add(1, Ordering::SeqCst);
        if counted.contains(sent) {
            tally.sent_counted += 1;
            if plan.qos != QoS::AtMostOnce {
                tally.acknowledge.record(run.clock.now().saturating_sub(sent));
            }
        }
    }
}

/// The places of a window take turns.
fn ticks(run: &Run, start: Duration, rate: f64, place: u32) -> Interval {
    let window = f64::from(run.plan.window);
    let every = Duration::from_secs_f64((window / rate).max(1e-6));
    interval_at(run.clock.instant(start + every.mul_f64(f64::from(place) / window)), every)
}

async fn receive(run: Arc<Run>, number: u32, mut subscription: Subscription, counted: Counted) -> Tally {
    let mut tally = Tally::default();
    let mut seen = HashMap::new();
    let mut last = run.clock.now();
    loop {
        let quiet = run.quiet.load(Ordering::SeqCst);
        if quiet && has_all(&run, number, tally.received - tally.doubled) {
            break;
        }
        let message = match timeout(LOOK, subscription.next()).await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(_) if quiet && run.clock.now() > last + SILENCE => break,
            Err(_) => continue,
        };
        last = run.clock.now();
        let Some(stamp) = Stamp::read(&message.payload) else { continue };
        tally.received += 1;
        run.received.fetch_add(1, Ordering::SeqCst);
        if is_double(&mut seen, stamp) {
            tally.doubled += 1;
        }
        if counted.contains(stamp.sent) {
            tally.received_counted += 1;
            tally.deliver.record(last.saturating_sub(stamp.sent));
        }
    }
    if run.plan.scenario != Scenario::Shared {
        tally.expected = expected(&run, number);
    }
    tally
}

fn has_all(run: &Run, number: u32, received: u64) -> bool {
    match run.plan.scenario {
        Scenario::Shared => run.received.load(Ordering::SeqCst) >= run.published_in_all(),
        _ => received >= expected(run, number),
    }
}

fn expected(run: &Run, number: u32) -> u64 {
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    match run.plan.scenario {
        Scenario::Pairs => of(&run.published[number as usize]),
        _ => run.published_in_all(),
    }
}
