//! Histories of the members of a Shared Subscription: whoever leaves, and whatever was under way to whom, no message is
//! lost to the group unless queues were full, and none of QoS 2 reaches two of them.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use proptest::prelude::*;
use tidegate::broker::{Options, SharedStrategy};
use tidegate::packet::{Connect, Disconnect, Packet, QoS, ReasonCode};

use super::client::Client as Model;
use super::{ToClient, to_packet};
use crate::support::*;

const GROUP: &str = "$share/g/t";
const MEMBERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Publish(QoS),
    Connect {
        who: usize,
        window: u16,
    },
    Join(usize),
    Leave(usize),
    /// The member looks at so many packets at most, and answers them or not.
    Receive {
        who: usize,
        count: usize,
        answer: bool,
    },
    Break(usize),
    /// The session ends, connected or not.
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..MEMBERS;
    prop_oneof![
        8 => prop_oneof![Just(QOS1), Just(QOS2)].prop_map(Step::Publish),
        4 => (who(), 1..4_u16).prop_map(|(who, window)| Step::Connect { who, window }),
        4 => who().prop_map(Step::Join),
        1 => who().prop_map(Step::Leave),
        6 => (who(), 1..4_usize, any::<bool>())
            .prop_map(|(who, count, answer)| Step::Receive { who, count, answer }),
        2 => who().prop_map(Step::Break),
        1 => who().prop_map(Step::End),
    ]
}

#[derive(Default)]
struct Member {
    stream: Option<Client>,
    inbox: VecDeque<ToClient>,
    model: Model,
    has_session: bool,
    joined: bool,
}

struct Published {
    qos: QoS,
    /// Nobody need get it: it was not taken, or the group has ended since.
    may_be_gone: bool,
}

struct World {
    local: Local,
    sender: Client,
    members: [Member; MEMBERS],
    /// What the clients of sessions that have ended have seen.
    former: Vec<Model>,
    published: Vec<Published>,
    /// QoS 2 messages that were under way to sessions when these ended, at most.
    under_way: usize,
}

impl World {
    async fn new(strategy: SharedStrategy, maximum_queued_messages: usize) -> World {
        let options =
            Options { shared_subscription_strategy: strategy, maximum_queued_messages, ..Options::default() };
        let local = Local::with(options);
        let sender = local.connect(connect(V5, "sender")).await;
        World {
            local,
            sender,
            members: Default::default(),
            former: Vec::new(),
            published: Vec::new(),
            under_way: 0,
        }
    }

    async fn play(&mut self, step: &Step) {
        match *step {
            Step::Publish(qos) => self.publish(qos).await,
            Step::Connect { who, window } => self.connect(who, window).await,
            Step::Join(who) => self.join(who).await,
            Step::Leave(who) => self.leave(who).await,
            Step::Receive { who, count, answer } => self.receive(who, count, answer).await,
            Step::Break(who) => self.lose_connection(who).await,
            Step::End(who) => self.end(who).await,
        }
    }

    async fn publish(&mut self, qos: QoS) {
        let number = self.published.len();
        let before = self.dropped();
        let answer = self.sender.publish("t", &number.to_string(), qos).await;
        let taken = answer == ReasonCode::SUCCESS;
        assert_eq!(taken, self.members.iter().any(|member| member.joined));
        self.published.push(Published { qos, may_be_gone: !taken });
        if self.dropped() > before {
            // Those who are connected may have room again by now.
            for who in (0..MEMBERS).filter(|who| self.members[*who].joined) {
                let status = self.local.broker.client(&who.to_string()).unwrap();
                let is_full = status.queued == self.local.broker.options().maximum_queued_messages;
                assert!(is_full || status.client.is_some(), "{number} was dropped, {who} has room");
            }
        }
    }

    fn dropped(&self) -> usize {
        self.local.broker.statistics().dropped_queue_full as usize
    }

    async fn connect(&mut self, who: usize, window: u16) {
        let member = &mut self.members[who];
        if member.stream.is_some() {
            return;
        }
        let receive_maximum = NonZeroU16::new(window);
        let asks = Connect { receive_maximum, ..persistent(V5, &who.to_string()) };
        let (stream, connack) = self.local.try_connect(asks).await;
        assert_eq!(connack.session_present, member.has_session);
        (member.stream, member.has_session) = (Some(stream), true);
    }

    async fn join(&mut self, who: usize) {
        self.fetch(who).await;
        let member = &mut self.members[who];
        let Some(stream) = &mut member.stream else { return };
        if !member.joined {
            stream.subscribe(GROUP, QOS2).await;
            member.joined = true;
        }
    }

    async fn leave(&mut self, who: usize) {
        self.fetch(who).await;
        let member = &mut self.members[who];
        let Some(stream) = member.stream.as_mut().filter(|_| member.joined) else { return };
        stream.unsubscribe(&[GROUP]).await;
        self.has_left(who);
    }

    /// The group ends with its last member, and with it what was not sent (MQTT 5.0, 4.8.2).
    fn has_left(&mut self, who: usize) {
        self.members[who].joined = false;
        if self.members.iter().all(|member| !member.joined) {
            for published in &mut self.published {
                published.may_be_gone = true;
            }
        }
    }

    async fn receive(&mut self, who: usize, count: usize, answer: bool) {
        self.fetch(who).await;
        let member = &mut self.members[who];
        let Some(stream) = &mut member.stream else { return };
        for _ in 0..count {
            let Some(packet) = member.inbox.pop_front() else { break };
            assert_eq!(member.model.receive(packet), None);
        }
        while answer && let Some(packet) = member.model.answer(0, false) {
            stream.send(to_packet(packet)).await;
        }
        self.fetch(who).await;
    }

    /// Waits until the broker has nothing more to do for this member, and takes what it has sent.
    async fn fetch(&mut self, who: usize) {
        let Member { stream, inbox, .. } = &mut self.members[who];
        let Some(stream) = stream else { return };
        // Whoever keeps house has its turn between them.
        for _ in 0..2 {
            stream.send(Packet::Pingreq).await;
            loop {
                inbox.push_back(match stream.receive().await {
                    Packet::Pingresp => break,
                    Packet::Pubrel(ack) => ToClient::Pubrel(ack.packet_identifier.get()),
                    Packet::Publish(publish) => ToClient::Publish {
                        id: publish.packet_identifier.map(|id| id.get()),
                        number: text(&publish).parse().unwrap(),
                        qos: publish.qos,
                        dup: publish.dup,
                    },
                    other => panic!("{other:?}"),
                });
            }
        }
    }

    async fn lose_connection(&mut self, who: usize) {
        if self.members[who].stream.take().is_some() {
            self.members[who].model.disconnected();
            self.members[who].inbox.clear();
            let (broker, name) = (self.local.broker.clone(), who.to_string());
            until(|| broker.client(&name).is_none_or(|status| status.client.is_none())).await;
        }
    }

    async fn end(&mut self, who: usize) {
        if !self.members[who].has_session {
            return;
        }
        self.fetch(who).await;
        let name = who.to_string();
        self.under_way += self.local.broker.client(&name).unwrap().in_flight;
        match self.members[who].stream.take() {
            Some(mut stream) => {
                let ending = Disconnect { session_expiry_interval: Some(0), ..Disconnect::default() };
                stream.send(Packet::Disconnect(Box::new(ending))).await;
                stream.last_packet().await;
            }
            None => assert!(self.local.broker.delete_session(&name)),
        }
        until(|| self.local.broker.client(&name).is_none()).await;
        let ended = std::mem::take(&mut self.members[who]);
        self.former.push(ended.model);
        if ended.joined {
            self.members[who].joined = true;
            self.has_left(who);
        }
    }

    /// All sessions that there are get what is theirs.
    async fn come_to_rest(&mut self) {
        for who in (0..MEMBERS).filter(|who| self.members[*who].has_session).collect::<Vec<_>>() {
            self.connect(who, 10).await;
        }
        let mut silent = 0;
        while silent < 2 {
            silent += 1;
            for who in 0..MEMBERS {
                self.fetch(who).await;
                let member = &self.members[who];
                if member.stream.is_some() && !(member.inbox.is_empty() && member.model.is_done()) {
                    silent = 0;
                    self.receive(who, usize::MAX, true).await;
                }
            }
        }
    }

    fn check_end(&self) {
        let models = || self.former.iter().chain(self.members.iter().map(|member| &member.model));
        let mut lost = [0; 3];
        for (number, published) in self.published.iter().enumerate() {
            let times: usize = models().map(|model| model.times_received(number)).sum();
            // [MQTT-4.8.2-5]
            assert!(published.qos == QOS1 || times <= 1, "{number} was received {times} times");
            if times == 0 && !published.may_be_gone {
                lost[published.qos as usize] += 1;
            }
        }
        let dropped = self.dropped();
        assert!(lost[1] <= dropped, "{lost:?} were lost, {dropped} were dropped");
        let most = self.under_way + dropped;
        assert!(lost[1] + lost[2] <= most, "{lost:?} were lost, {most} were dropped or under way");
        for status in self.local.broker.clients() {
            assert_eq!((status.queued, status.in_flight), (0, 0), "{}", status.client_identifier);
        }
    }
}

async fn check(strategy: SharedStrategy, queue: usize, history: Vec<Step>) {
    let mut world = World::new(strategy, queue).await;
    for step in &history {
        world.play(step).await;
    }
    world.come_to_rest().await;
    world.check_end();
}

fn strategy() -> impl Strategy<Value = SharedStrategy> {
    prop_oneof![
        Just(SharedStrategy::RoundRobin),
        Just(SharedStrategy::Random),
        Just(SharedStrategy::Sticky),
        Just(SharedStrategy::LeastInFlight),
    ]
}

proptest! {
    /// [MQTT-4.8.2-4], [MQTT-4.8.2-5], [MQTT-3.10.4-3]
    #[test]
    fn what_a_group_was_promised_arrives_whoever_leaves(
        strategy in strategy(),
        queue in prop_oneof![1 => 1..4_usize, 2 => Just(1000)],
        history in prop::collection::vec(step(), 1..80),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(check(strategy, queue, history));
    }
}
