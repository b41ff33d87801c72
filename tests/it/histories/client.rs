//! A client that keeps to the specification, except where it is told to lie.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::packet::QoS;

use super::{ToClient, ToServer};

#[derive(Debug, Default)]
pub(super) struct Client {
    /// How often it took which message.
    received: BTreeMap<usize, usize>,
    /// QoS 2 messages that it has and that are not released.
    unreleased: BTreeMap<u16, usize>,
    /// Answers that it owes, oldest first.
    owed: Vec<Owed>,
    /// Identifiers about which it said what is not so.
    lies: BTreeSet<u16>,
    refused: BTreeSet<usize>,
    /// What it has published itself, in order.
    own: Vec<Own>,
    next_own: usize,
    /// What it has published and the server has to route.
    accepted: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Owed {
    Puback { id: u16, number: usize },
    Pubrec { id: u16, number: usize },
    Pubcomp(u16),
}

#[derive(Clone, Copy, Debug)]
struct Own {
    id: u16,
    number: usize,
    qos: QoS,
    /// How often it was sent on this connection: so many answers have to come before its identifier is free.
    sent: usize,
    /// PUBREC came.
    released: bool,
}

impl Client {
    pub fn times_received(&self, number: usize) -> usize {
        self.received.get(&number).copied().unwrap_or_default()
    }

    pub fn refused(&self, number: usize) -> bool {
        self.refused.contains(&number)
    }

    /// Whether it may have acknowledged what it never took.
    pub fn lied_about(&self, id: u16) -> bool {
        self.lies.contains(&id)
    }

    /// What it published and was not refused.
    pub fn accepted(&self) -> impl Iterator<Item = usize> {
        self.accepted.iter().copied()
    }

    /// Whether nothing that it has begun is unfinished.
    pub fn is_done(&self) -> bool {
        self.own.is_empty() && self.owed.is_empty()
    }

    pub fn has_lied(&mut self, packet: ToServer) {
        match packet {
            ToServer::Puback { id, .. } | ToServer::Pubrec { id, .. } | ToServer::Pubcomp(id) => {
                self.lies.insert(id);
            }
            ToServer::Publish { .. } | ToServer::Pubrel(_) => {}
        }
    }

    pub fn disconnected(&mut self) {
        self.owed.clear();
    }

    /// It is connected again, and sends what is unfinished in its order [MQTT-4.4.0-1].
    pub fn connected(&mut self) -> Vec<ToServer> {
        self.own.iter_mut().for_each(|own| own.sent = 1);
        self.own.iter().map(Own::again).collect()
    }

    /// The server has nothing of the session before: it keeps nothing of it either [MQTT-3.2.2-5].
    pub fn starts_anew(&mut self) {
        for own in self.own.drain(..).filter(|own| !own.released) {
            self.accepted.remove(&own.number);
        }
        self.unreleased.clear();
        self.lies.clear();
    }

    /// What it has published and is not acknowledged, once more.
    pub fn resend(&mut self, which: usize) -> Option<ToServer> {
        let own = self.own.get_mut(which).filter(|own| !own.released)?;
        own.sent += 1;
        Some(own.again())
    }

    /// Takes a packet; what it answers at once is the next of its own flows.
    pub fn receive(&mut self, packet: ToClient) -> Option<ToServer> {
        match packet {
            ToClient::Publish { id: None, number, .. } => self.take(number),
            ToClient::Publish { id: Some(id), number, qos, dup } => {
                self.receive_publish(id, number, qos, dup)
            }
            ToClient::Pubrel(id) => {
                self.unreleased.remove(&id);
                self.owed.push(Owed::Pubcomp(id));
            }
            ToClient::Puback(id) => self.puback(id),
            ToClient::Pubrec { id, refused } => return self.pubrec(id, refused),
            ToClient::Pubcomp(id) => self.own.retain(|own| own.id != id || !own.released),
        }
        None
    }

    fn receive_publish(&mut self, id: u16, number: usize, qos: QoS, dup: bool) {
        if qos == QoS::AtLeastOnce {
            assert!(dup || self.times_received(number) == 0);
            self.take(number);
            self.owed.push(Owed::Puback { id, number });
            return;
        }
        match self.unreleased.get(&id) {
            // It need not look at DUP, but the server has to set it [MQTT-3.3.1-1].
            Some(known) => assert!(*known == number && dup),
            None => {
                self.unreleased.insert(id, number);
                self.take(number);
            }
        }
        self.owed.push(Owed::Pubrec { id, number });
    }

    fn take(&mut self, number: usize) {
        *self.received.entry(number).or_default() += 1;
    }

    /// Pays back what it owes; it may refuse what it would have to acknowledge.
    pub fn answer(&mut self, which: usize, refuse: bool) -> Option<ToServer> {
        if self.owed.is_empty() {
            return None;
        }
        let owed = self.owed.remove(which.min(self.owed.len() - 1));
        Some(match owed {
            Owed::Puback { id, number } => {
                self.refused.extend(refuse.then_some(number));
                ToServer::Puback { id, refused: refuse }
            }
            Owed::Pubrec { id, number } => {
                if refuse {
                    self.refused.insert(number);
                    self.unreleased.remove(&id);
                }
                ToServer::Pubrec { id, refused: refuse }
            }
            Owed::Pubcomp(id) => ToServer::Pubcomp(id),
        })
    }

    /// Publishes with QoS 1 or 2, if the server's Receive Maximum allows it.
    pub fn publish(&mut self, qos: QoS, receive_maximum: u16) -> Option<ToServer> {
        let id = (1..=receive_maximum).find(|id| self.own.iter().all(|own| own.id != *id))?;
        let number = self.next_own;
        self.next_own += 1;
        self.own.push(Own { id, number, qos, sent: 1, released: false });
        self.accepted.insert(number);
        Some(ToServer::Publish { id, number, qos, dup: false })
    }

    fn puback(&mut self, id: u16) {
        let Some(own) = self.own.iter_mut().find(|own| own.id == id) else { return };
        own.sent -= 1;
        self.own.retain(|own| own.sent > 0);
    }

    fn pubrec(&mut self, id: u16, refused: bool) -> Option<ToServer> {
        let at = self.own.iter().position(|own| own.id == id);
        if refused {
            let own = self.own.remove(at?);
            assert!(!own.released);
            self.accepted.remove(&own.number);
            return None;
        }
        if let Some(at) = at {
            self.own[at].released = true;
        }
        Some(ToServer::Pubrel(id))
    }
}

impl Own {
    fn again(&self) -> ToServer {
        match *self {
            Own { id, released: true, .. } => ToServer::Pubrel(id),
            Own { id, number, qos, .. } => ToServer::Publish { id, number, qos, dup: true },
        }
    }
}
