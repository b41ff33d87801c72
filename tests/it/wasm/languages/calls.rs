//! Many calls of one instance: collectors of memory run meanwhile.

use tidegate::packet::QoS;

use super::*;
use crate::wasm::until;

/// A Go program looks at the clock whenever its collector runs, also while the host has it allocate memory, when
/// nothing outside may be called: with the adapter that others have it traps after some hundred calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_calls_of_a_go_plugin_do_not_trap() {
    let Some(module) = built("go") else { return };
    let broker = broker(options(module)).await;
    let (client, _messages) = broker.connect("client").await;
    const CALLS: u64 = 50_000;
    for number in 0..CALLS {
        let mut publish = message("a/b", "hello");
        publish.qos = if number % 100 == 99 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let ack = client.publish(publish).await.expect("connected");
        assert!(!ack.reason_code.is_error(), "{number}: {}", ack.reason_code);
    }
    until("every message was seen", || broker.host.status()[0].calls >= CALLS).await;
    let status = broker.host.status().remove(0);
    assert_eq!((status.failures, status.last_error), (vec![], None));
    broker.server.shutdown().await;
}
