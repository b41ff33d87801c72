//! Verdicts about messages: verdict × origin × version × QoS.

use tidegate::message::{ApplicationMessage, Origin};
use tidegate::packet::{ProtocolVersion, Publish, QoS, ReasonCode, Will};
use tidegate::plugin::{Hook, PluginOptions};

use super::super::Broker;
use super::{NOT_AUTHORIZED, SUCCESS, broker_with, only};
use crate::support::{
    ALL_QOS, Client, QOS0, V5, VERSIONS, connect, persistent, publish, text, until, will, with_will,
};

/// How a message comes to its receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Client,
    Will,
    /// Published by the embedder, as plugins' messages are.
    Injected,
    /// As a bridge to another broker would publish it.
    Bridge,
    /// As another node would hand it over.
    Cluster,
    /// Retained before the plugin was there, and replayed to who subscribes now.
    Retained,
    /// Published while the receiver was away; it resumes its session.
    Resumed,
}

const EVERYWHERE: &[From] =
    &[From::Client, From::Will, From::Injected, From::Bridge, From::Cluster, From::Retained, From::Resumed];
/// Whatever is published, but not what is only replayed.
const PUBLISHED: &[From] =
    &[From::Client, From::Will, From::Injected, From::Bridge, From::Cluster, From::Resumed];
/// Whatever is published by somebody who can be authorized.
const BY_CLIENTS: &[From] = &[From::Client, From::Will, From::Resumed];

/// What the receiver gets where the hook is asked.
#[derive(Clone, Copy, Debug)]
enum Got {
    AsItIs,
    Nothing,
    /// First level of the topic; payload; QoS, if that is another.
    Changed(&'static str, &'static str, Option<QoS>),
}

pub(super) struct Row {
    pub(super) hook: Hook,
    /// Its name in `wit/`, and what is set beside it.
    pub(super) verdict: &'static str,
    /// First level of the topic, which tells the plugin.
    wish: &'static str,
    /// Elsewhere the hook is not asked, and the message goes its way.
    asked: &'static [From],
    /// In PUBACK or PUBREC of MQTT 5.0. That of 3.1.1 has no Reason Code.
    told: ReasonCode,
    /// In DISCONNECT of MQTT 5.0; a 3.1.1 connection is closed.
    end: Option<ReasonCode>,
    got: Got,
}

const fn row(
    hook: Hook,
    verdict: &'static str,
    wish: &'static str,
    asked: &'static [From],
    told: ReasonCode,
    got: Got,
) -> Row {
    Row { hook, verdict, wish, asked, told, end: None, got }
}

const fn ending(end: ReasonCode, row: Row) -> Row {
    Row { end: Some(end), ..row }
}

const PUBLISH: Hook = Hook::InterceptingPublish;
const ENQUEUE: Hook = Hook::InterceptingClientEnqueue;
const QUOTA: ReasonCode = ReasonCode::QUOTA_EXCEEDED;

pub(super) const TABLE: [Row; 16] = [
    row(PUBLISH, "continue", "any", PUBLISHED, SUCCESS, Got::AsItIs),
    row(
        PUBLISH,
        "continue: modify",
        "modify",
        PUBLISHED,
        SUCCESS,
        Got::Changed("modified", "PAYLOAD", Some(QOS0)),
    ),
    row(PUBLISH, "continue: modify", "reverse", PUBLISHED, SUCCESS, Got::Changed("reverse", "daolyap", None)),
    row(PUBLISH, "continue: modify", "qos0", PUBLISHED, SUCCESS, Got::Changed("qos0", "payload", Some(QOS0))),
    row(PUBLISH, "swallow", "swallow", PUBLISHED, SUCCESS, Got::Nothing),
    row(PUBLISH, "reject", "reject", PUBLISHED, NOT_AUTHORIZED, Got::Nothing),
    row(PUBLISH, "reject", "reject-format", PUBLISHED, ReasonCode::PAYLOAD_FORMAT_INVALID, Got::Nothing),
    ending(
        ReasonCode::ADMINISTRATIVE_ACTION,
        row(PUBLISH, "continue: close", "close", PUBLISHED, SUCCESS, Got::AsItIs),
    ),
    ending(
        ReasonCode::MESSAGE_RATE_TOO_HIGH,
        row(PUBLISH, "reject: close", "reject-close", PUBLISHED, QUOTA, Got::Nothing),
    ),
    row(Hook::Authorizer, "next", "next", BY_CLIENTS, SUCCESS, Got::AsItIs),
    row(Hook::Authorizer, "allow", "any", BY_CLIENTS, SUCCESS, Got::AsItIs),
    row(Hook::Authorizer, "deny", "deny-publish", BY_CLIENTS, NOT_AUTHORIZED, Got::Nothing),
    row(Hook::Authorizer, "deny", "deny-delivery", EVERYWHERE, SUCCESS, Got::Nothing),
    row(ENQUEUE, "deliver", "any", EVERYWHERE, SUCCESS, Got::AsItIs),
    row(ENQUEUE, "deliver: choose", "name", EVERYWHERE, SUCCESS, Got::Changed("name", "receiver", None)),
    row(ENQUEUE, "skip", "skip", EVERYWHERE, SUCCESS, Got::Nothing),
];

/// One message of the table.
#[derive(Clone, Copy)]
struct Case<'a> {
    row: &'a Row,
    from: From,
    version: ProtocolVersion,
    qos: QoS,
}

impl Case<'_> {
    fn all(row: &Row) -> impl Iterator<Item = Case<'_>> {
        let by_version = move |from| VERSIONS.into_iter().map(move |version| (from, version));
        let by_qos =
            move |(from, version)| ALL_QOS.into_iter().map(move |qos| Case { row, from, version, qos });
        EVERYWHERE.iter().copied().flat_map(by_version).flat_map(by_qos)
    }

    fn name(&self) -> String {
        let Row { hook, verdict, wish, .. } = self.row;
        format!("{hook} {verdict} ({wish}), {:?}, {}, {:?}", self.from, self.version, self.qos)
    }

    fn rest(&self) -> String {
        format!("{}-{:?}-{}-{}", self.row.wish, self.from, self.version.level(), self.qos as u8)
    }

    fn topic(&self) -> String {
        format!("{}/{}", self.row.wish, self.rest())
    }

    fn is_asked(&self) -> bool {
        self.row.asked.contains(&self.from)
    }

    /// Topic, payload and QoS of what the receiver gets, if anything.
    fn expected(&self) -> Option<(String, &'static str, QoS)> {
        let (topic, payload, qos) = match if self.is_asked() { self.row.got } else { Got::AsItIs } {
            Got::AsItIs => (self.topic(), "payload", self.qos),
            Got::Nothing => return None,
            Got::Changed(first, payload, qos) => {
                (format!("{first}/{}", self.rest()), payload, qos.unwrap_or(self.qos))
            }
        };
        // A session without a connection takes no QoS 0.
        (self.from != From::Resumed || qos > QOS0).then_some((topic, payload, qos))
    }

    /// What PUBACK or PUBREC say, where there is one.
    fn told(&self) -> Option<ReasonCode> {
        let told = if self.is_asked() { self.row.told } else { SUCCESS };
        match self.from {
            From::Will | From::Retained => None,
            From::Injected | From::Bridge | From::Cluster => Some(told),
            From::Client | From::Resumed if self.qos == QOS0 => None,
            From::Client | From::Resumed => Some(if self.version == V5 { told } else { SUCCESS }),
        }
    }

    fn message(&self) -> ApplicationMessage {
        let topic = self.topic().as_str().try_into().unwrap();
        let mut message = ApplicationMessage::new(topic, "payload").with_qos(self.qos);
        message.origin = match self.from {
            From::Bridge => Origin::Bridge,
            From::Cluster => Origin::Cluster,
            _ => Origin::Injected,
        };
        message
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_a_message_is_seen_as_the_table_says() {
    for hook in [PUBLISH, Hook::Authorizer, ENQUEUE] {
        let broker = broker_with(&[]).await;
        let rows = || TABLE.iter().filter(|row| row.hook == hook);
        for case in rows().flat_map(Case::all).filter(|case| case.from == From::Retained) {
            broker.server.publish(case.message().with_retain(true)).await;
        }
        let settings = serde_json::json!({ "authorize-deliveries": hook == Hook::Authorizer });
        broker.host.reload(&[PluginOptions { settings, ..only(hook) }]).expect("reloaded");
        for case in rows().flat_map(Case::all) {
            run(&broker, case).await;
        }
        assert!(broker.host.status()[0].failures.is_empty(), "{:?}", broker.host.status()[0]);
        broker.server.shutdown().await;
    }
}

async fn run(broker: &Broker, case: Case<'_>) {
    let name = case.name();
    let mut receiver = receiver(broker, case).await;
    if case.from == From::Resumed {
        receiver.disconnect().await;
    } else if case.from != From::Retained {
        subscribe(&mut receiver, case).await;
        return deliver(broker, case, receiver, &name).await;
    } else {
        subscribe(&mut receiver, case).await;
        return check(case, receiver, &name).await;
    }
    send(broker, case, &name).await;
    let receiver = Client::connect(&broker.server, persistent(case.version, "receiver")).await;
    check(case, receiver, &name).await;
}

async fn deliver(broker: &Broker, case: Case<'_>, receiver: Client, name: &str) {
    send(broker, case, name).await;
    check(case, receiver, name).await;
}

/// A client for the messages; where it is to resume, it has subscribed already.
async fn receiver(broker: &Broker, case: Case<'_>) -> Client {
    if case.from != From::Resumed {
        return Client::connect(&broker.server, connect(case.version, "receiver")).await;
    }
    // Without what the case before left.
    Client::connect(&broker.server, connect(case.version, "receiver")).await.disconnect().await;
    let mut receiver = Client::connect(&broker.server, persistent(case.version, "receiver")).await;
    subscribe(&mut receiver, case).await;
    receiver
}

/// To where the message may come out.
async fn subscribe(receiver: &mut Client, case: Case<'_>) {
    receiver.subscribe(&format!("+/{}", case.rest()), QoS::ExactlyOnce).await;
}

/// Publishes, and checks what the publisher sees.
async fn send(broker: &Broker, case: Case<'_>, name: &str) {
    match case.from {
        From::Client | From::Resumed => send_as_client(broker, case, name).await,
        From::Will => {
            let will = Will { qos: case.qos, ..will(&case.topic(), "payload") };
            drop(Client::connect(&broker.server, with_will(connect(case.version, "sender"), will)).await);
            until(|| broker.server.broker().client("sender").is_none()).await;
        }
        From::Injected | From::Bridge | From::Cluster => {
            let published = broker.server.publish(case.message()).await;
            assert_eq!(Some(published.reason), case.told(), "{name}");
        }
        From::Retained => {}
    }
}

async fn send_as_client(broker: &Broker, case: Case<'_>, name: &str) {
    let mut sender = Client::connect(&broker.server, connect(case.version, "sender")).await;
    let closes = case.is_asked() && case.row.end.is_some();
    if closes && case.qos == QoS::ExactlyOnce {
        // The connection ends before PUBREL.
        let packet_identifier = Some(sender.next_identifier());
        let message = Publish { qos: case.qos, packet_identifier, ..publish(&case.topic(), "payload") };
        sender.send(tidegate::packet::Packet::Publish(message)).await;
        assert_eq!(Some(sender.pubrec().await.reason_code), case.told(), "{name}");
    } else {
        let told = sender.publish(&case.topic(), "payload", case.qos).await;
        assert_eq!(told, case.told().unwrap_or(SUCCESS), "{name}");
    }
    if closes {
        let end = if case.version == V5 { case.row.end } else { None };
        assert_eq!(sender.end().await, end, "{name}");
    } else {
        sender.ping().await;
    }
}

async fn check(case: Case<'_>, mut receiver: Client, name: &str) {
    if let Some((topic, payload, qos)) = case.expected() {
        let got = receiver.message().await;
        assert_eq!((&*got.topic, text(&got), got.qos), (&*topic, payload, qos), "{name}");
    }
    receiver.assert_silent().await;
    receiver.disconnect().await;
}
