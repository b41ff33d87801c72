//! A well-behaved client beside the attackers: it publishes to itself and waits for each message and each answer.

use std::pin::pin;
use std::time::{Duration, Instant};

use tidegate::packet::{
    Ack, Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFilter,
};

use crate::wire::Wire;

/// Between two of its messages.
const PERIOD: Duration = Duration::from_millis(5);

pub struct Bystander {
    wire: Wire,
    sent: u64,
}

/// How fast it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub count: usize,
    pub p99: Duration,
}

impl Bystander {
    pub async fn connect(port: u16) -> Bystander {
        let name = format!("bystander-{:?}", Instant::now());
        let connect = Connect::new(ProtocolVersion::V5, name.clone().into());
        let (mut wire, _) = Wire::connect(port, connect).await.expect("it is let in");
        wire.put(Packet::Subscribe(Box::new(Subscribe {
            packet_identifier: PacketIdentifier::FIRST,
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: vec![SubscribeFilter::new("beside".into(), QoS::AtLeastOnce)],
        })));
        wire.flush().await.unwrap();
        assert!(matches!(wire.receive().await.unwrap(), Packet::Suback(_)));
        Bystander { wire, sent: 0 }
    }

    /// Goes on while something happens.
    pub async fn watch(&mut self, happens: impl AsyncFnOnce(())) -> Answered {
        let mut happens = pin!(happens(()));
        let mut times = Vec::new();
        loop {
            let begun = Instant::now();
            let exchange = self.exchange();
            tokio::pin!(exchange);
            let is_over = tokio::select! {
                biased;
                () = &mut exchange => false,
                () = &mut happens => true,
            };
            if is_over {
                // What was sent has to come all the same.
                exchange.await;
                return answered(times);
            }
            times.push(begun.elapsed());
            tokio::select! {
                () = &mut happens => return answered(times),
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// A message there and back, with both acknowledgements.
    async fn exchange(&mut self) {
        self.sent += 1;
        let payload = self.sent.to_string();
        let publish = Publish {
            qos: QoS::AtLeastOnce,
            packet_identifier: Some(PacketIdentifier::FIRST),
            ..Publish::new("beside".into(), payload.clone().into())
        };
        self.wire.put(Packet::Publish(publish));
        self.wire.flush().await.unwrap();
        let (mut came, mut acknowledged) = (false, false);
        while !(came && acknowledged) {
            match self.wire.receive().await.expect("nothing ends it") {
                Packet::Puback(_) => acknowledged = true,
                Packet::Publish(publish) => {
                    assert_eq!(publish.payload, payload, "lost, or out of order");
                    let id = publish.packet_identifier.unwrap();
                    self.wire.put(Packet::Puback(Ack::new(id, ReasonCode::SUCCESS)));
                    self.wire.flush().await.unwrap();
                    came = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn answered(mut times: Vec<Duration>) -> Answered {
    times.sort();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Answered { count: times.len(), p99 }
}
