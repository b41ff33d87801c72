//! A day of connections that do not last.

use std::sync::Arc;

use tidegate::client::SubscribeOptions;

use super::road::{self, Cut, Road};
use super::*;
use crate::support::{Local, QOS1, QOS2};

const DAY: usize = 24 * 60 * 60;
/// Seconds between two messages.
const EVERY: usize = 20;

/// Connections that last up to two minutes, and some that end in the handshake.
fn flapping(seed: u64) -> Vec<Cut> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let cut = |_| match chance.u8(0..10) {
        0 => Cut::after(0, chance.usize(0..60)),
        1 => Cut::after(1, chance.usize(0..60)),
        _ => Cut { lasts: Duration::from_millis(chance.u64(0..120_000)), ..Cut::NEVER },
    };
    (0..20_000).map(cut).collect()
}

#[tokio::test(start_paused = true)]
async fn a_day_of_flapping_loses_nothing_and_delivers_nothing_twice() {
    let local = Arc::new(Local::start());
    let road = |seed| Road::new(road::to(&local), flapping(seed));
    let mut options = persistent(road(1), V5, "receiver");
    options.reconnect = Some(Reconnect { to: Duration::from_secs(30), ..Reconnect::default() });
    let receiver = started(options.clone());
    let mut once = receiver.subscribe(("once", QOS2)).await.unwrap();
    // It is looked at after the other, and must not hold that up.
    let roomy = SubscribeOptions { capacity: 2 * DAY, ..("at-least", QOS1).into() };
    let mut at_least = receiver.subscribe(roomy).await.unwrap();
    options.connector = Arc::new(road(2));
    options.connect.client_identifier = "publisher".into();
    let publisher = started(options);
    let publishing = tokio::spawn(async move {
        for number in 0..DAY / EVERY {
            publisher.enqueue(numbered("once", number, QOS2)).await.unwrap();
            publisher.enqueue(numbered("at-least", number, QOS1)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(EVERY as u64)).await;
        }
        publisher
    });
    for number in 0..DAY / EVERY {
        assert_eq!(text(&once.next().await.unwrap()), number.to_string());
    }
    // QoS 1 may come more than once, and out of its order only where it does.
    let (mut next, last) = (0, DAY / EVERY - 1);
    while next <= last {
        let number: usize = text(&at_least.next().await.unwrap()).parse().unwrap();
        assert!(number <= next, "{next} was lost");
        next = next.max(number + 1);
    }
    let publisher = publishing.await.unwrap();
    publisher.enqueue(numbered("once", DAY, QOS2)).await.unwrap();
    assert_eq!(text(&once.next().await.unwrap()), DAY.to_string());
}
