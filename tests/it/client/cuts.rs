//! A connection that is cut after each byte of a QoS 2 exchange, from the client and to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate::client::{BoxFuture, BoxedStream, SubscribeError, SubscribeOptions};

use super::road::{self, Cut, Road, Then};
use super::*;
use crate::support::{Local, QOS2, VERSIONS};

const MESSAGES: usize = 3;

/// How long a client waits for an answer before it connects again.
const PATIENT: Duration = Duration::from_secs(60);
const IMPATIENT: Duration = Duration::from_secs(1);

/// Messages go from a client over the road to one that has a road of its own.
async fn exchange<F>(
    publishers: Road<F>,
    receivers: Road<F>,
    version: ProtocolVersion,
    by_hand: bool,
    name: &str,
    answers_within: Duration,
) where
    F: Fn() -> BoxFuture<'static, std::io::Result<BoxedStream>> + Send + Sync + 'static,
{
    let topic = format!("cuts/{name}");
    let impatient = |options| Options {
        connect_timeout: answers_within,
        acknowledgement_timeout: Some(answers_within),
        ..options
    };
    let receiver = started(impatient(persistent(receivers, version, &format!("receiver-{name}"))));
    let mut options = SubscribeOptions::from((&*topic, QOS2));
    options.acknowledge_by_hand = by_hand;
    let mut subscription = loop {
        match within(receiver.subscribe(options.clone())).await {
            // Whether to ask again is for who asked.
            Err(SubscribeError::TimedOut) => {}
            result => break result.unwrap(),
        }
    };
    let publisher = started(impatient(persistent(publishers, version, &format!("publisher-{name}"))));
    let publishing: Vec<_> =
        (0..MESSAGES).map(|number| publisher.try_publish(numbered(&topic, number, QOS2)).unwrap()).collect();
    for number in 0..MESSAGES {
        let mut message = within(subscription.next()).await.unwrap();
        assert_eq!(text(&message), number.to_string(), "{name}");
        message.acknowledge();
    }
    for publishing in publishing {
        done(publishing.answer()).await;
    }
    // What would have come twice would have come before this.
    done(publisher.publish(numbered(&topic, MESSAGES, QOS2))).await;
    let mut last = within(subscription.next()).await.unwrap();
    assert_eq!(text(&last), MESSAGES.to_string(), "{name}");
    last.acknowledge();
    done(publisher.disconnect()).await;
    done(receiver.disconnect()).await;
}

/// Bytes of an exchange without a cut, by who sends them: `[publisher, receiver]`, from and to each.
async fn length<F>(
    open: impl Fn() -> F,
    version: ProtocolVersion,
    by_hand: bool,
    name: &str,
) -> [[usize; 2]; 2]
where
    F: Fn() -> BoxFuture<'static, std::io::Result<BoxedStream>> + Send + Sync + 'static,
{
    let roads = [Road::new(open(), []), Road::new(open(), [])];
    let carried = [roads[0].carried.clone(), roads[1].carried.clone()];
    let [publishers, receivers] = roads;
    exchange(publishers, receivers, version, by_hand, name, PATIENT).await;
    carried.map(|both| [0, 1].map(|direction| both[direction].load(Ordering::Relaxed)))
}

/// Each exchange with a cut after `position` bytes of one end's one direction; a second cut follows soon after the first.
pub async fn cut_everywhere<F>(open: impl Fn() -> F, version: ProtocolVersion, by_hand: bool, step: usize)
where
    F: Fn() -> BoxFuture<'static, std::io::Result<BoxedStream>> + Send + Sync + 'static,
{
    everywhere(open, version, by_hand, step, Then::Breaks).await;
}

async fn everywhere<F>(open: impl Fn() -> F, version: ProtocolVersion, by_hand: bool, step: usize, then: Then)
where
    F: Fn() -> BoxFuture<'static, std::io::Result<BoxedStream>> + Send + Sync + 'static,
{
    let name = format!("{}-{by_hand}", version.level());
    let answers_within = if matches!(then, Then::Waits(_)) { IMPATIENT } else { PATIENT };
    let lengths = length(&open, version, by_hand, &name).await;
    for (end, lengths) in lengths.into_iter().enumerate() {
        for (direction, length) in lengths.into_iter().enumerate() {
            assert!(length > 30, "{length}");
            for position in (0..length).step_by(step) {
                let name = format!("{name}-{end}-{direction}-{position}");
                let mut roads = [Vec::new(), Vec::new()];
                let first = Cut { then, ..Cut::after(direction, position) };
                roads[end] = vec![first, Cut { then, ..Cut::after(1 - direction, position / 2 + 5) }];
                let [publishers, receivers] = roads.map(|cuts| Road::new(open(), cuts));
                exchange(publishers, receivers, version, by_hand, &name, answers_within).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn qos_2_is_exactly_once_wherever_the_connection_is_cut() {
    // [MQTT-4.3.3-10] [MQTT-4.4.0-1]
    for version in VERSIONS {
        let local = Arc::new(Local::start());
        cut_everywhere(|| road::to(&local), version, false, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn qos_2_by_hand_is_exactly_once_wherever_the_connection_is_cut() {
    // [MQTT-4.3.3-10]
    let local = Arc::new(Local::start());
    cut_everywhere(|| road::to(&local), V5, true, 1).await;
}

#[tokio::test(start_paused = true)]
async fn qos_2_is_exactly_once_wherever_the_connection_is_put_off() {
    // [MQTT-4.3.3-10]
    // Shorter than the client waits for an answer, and longer, so that it connects again.
    for pause in [IMPATIENT / 2, IMPATIENT * 2] {
        let local = Arc::new(Local::start());
        everywhere(|| road::to(&local), V5, false, 1, Then::Waits(pause)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn qos_2_is_exactly_once_wherever_a_second_connection_comes_beside_the_first() {
    // [MQTT-4.3.3-10] [MQTT-3.1.4-3]
    for version in VERSIONS {
        let local = Arc::new(Local::start());
        everywhere(|| road::to(&local), version, false, 1, Then::Lingers).await;
    }
}
