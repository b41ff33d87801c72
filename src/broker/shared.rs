//! Shared Subscriptions: which member of a group gets a message.
//!
//! The choice is made under the index's read lock, where no session may be locked: what it goes by is the
//! [`Load`] of each member, which whoever changes a session leaves behind in an atomic. It may be a moment old.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::session_entry::{EntryState, SessionKey};
use crate::packet::QoS;
use crate::session::{Shared, Subscription};
use crate::topic::SharedGroup;

/// How often a member is picked at random before all are looked at.
const TRIES: usize = 4;

/// Which member of a Shared Subscription gets a message. Each prefers those who can be sent it at once to
/// those for whom it would wait, and both to those without a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedStrategy {
    /// The next in turn.
    #[default]
    RoundRobin,
    /// Any, each as likely as the other.
    Random,
    /// The one that got the last, for as long as it is connected and its queue is not full.
    Sticky,
    /// The one with the fewest messages queued and in flight; every member is looked at for every message.
    LeastInFlight,
}

/// What a group carries from one choice to the next.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    shared: OnceLock<Arc<Shared>>,
    /// Where in the list of members the next search begins.
    next: AtomicU32,
    /// The number of the session that was chosen last.
    favourite: AtomicU64,
}

pub(super) type Member = (SessionKey, Subscription);
pub(super) type Group = SharedGroup<SessionKey, Subscription, GroupState>;

/// What the messages of a group carry.
pub(super) fn shared(group: &Group) -> &Arc<Shared> {
    let shared = || Arc::new(Shared { filter: group.filter().clone(), original: None });
    group.state().shared.get_or_init(shared)
}

/// How ready a session is for a message, and how many it has; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load(u32);

/// In the order of preference for QoS 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Readiness {
    /// It can be sent at once.
    Free,
    /// It waits until the client acknowledges others, or reads.
    Busy,
    /// It waits until the client comes back.
    Offline,
    /// It is dropped, or another one for it.
    Full,
    Gone,
}

impl Load {
    const COUNT: u32 = u32::MAX >> 3;

    fn new(readiness: Readiness, count: usize) -> Load {
        let count = u32::try_from(count).unwrap_or(Load::COUNT).min(Load::COUNT);
        Load((readiness as u32) << 29 | count)
    }

    pub(super) fn of(state: &EntryState) -> Load {
        let session = &state.session;
        let readiness = if state.gone {
            Readiness::Gone
        } else if session.is_full() {
            Readiness::Full
        } else {
            match &state.link {
                None => Readiness::Offline,
                Some(link) if link.is_blocked() || session.is_saturated() => Readiness::Busy,
                Some(_) => Readiness::Free,
            }
        };
        Load::new(readiness, session.queued() + session.in_flight())
    }

    pub(super) fn readiness(self) -> Readiness {
        match self.0 >> 29 {
            0 => Readiness::Free,
            1 => Readiness::Busy,
            2 => Readiness::Offline,
            3 => Readiness::Full,
            _ => Readiness::Gone,
        }
    }
}

/// A [`Load`] that is read without a lock.
#[derive(Debug, Default)]
pub(super) struct AtomicLoad(AtomicU32);

impl AtomicLoad {
    pub(super) fn get(&self) -> Load {
        Load(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, load: Load) {
        self.0.store(load.0, Ordering::Relaxed);
    }
}

/// A choice among the members of a group for one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    pub strategy: SharedStrategy,
    /// The message's.
    pub qos: QoS,
}

impl Pick {
    /// The member that gets the message. There is one, as no group is empty.
    pub(super) fn among(self, group: &Group) -> Option<&Member> {
        let members = group.members();
        let at = match (members, self.strategy) {
            (_, SharedStrategy::Sticky) => self.the_same(group)?,
            ([_], _) => 0,
            (_, SharedStrategy::RoundRobin) => self.in_turn(group)?,
            (_, SharedStrategy::Random) => self.at_random(members)?,
            (_, SharedStrategy::LeastInFlight) => self.least_loaded(group)?,
        };
        members.get(at)
    }

    /// The member at a place in the order of readiness, the first is 1.
    pub(super) fn readiest_of(self, group: &Group, place: usize) -> Option<&Member> {
        let mut members: Vec<(Readiness, usize)> =
            group.members().iter().enumerate().map(|(at, member)| (self.readiness(member), at)).collect();
        members.sort_unstable();
        let (_, at) = members.get(place.checked_sub(1)?)?;
        group.members().get(*at)
    }

    pub(super) fn readiness(self, (key, subscription): &Member) -> Readiness {
        match key.0.load().readiness() {
            // It does not wait for a client to come back.
            Readiness::Offline if self.qos.min(subscription.maximum_qos) == QoS::AtMostOnce => {
                Readiness::Gone
            }
            readiness => readiness,
        }
    }

    /// The search begins behind the one that was chosen last, so that one which is passed over gives its turn
    /// to all others and not to its successor alone.
    fn in_turn(self, group: &Group) -> Option<usize> {
        let (members, next) = (group.members(), &group.state().next);
        let mut from = next.load(Ordering::Relaxed);
        loop {
            let at = self.readiest(members, from as usize)?;
            // Where another message was quicker, this one begins behind it.
            match next.compare_exchange_weak(from, at as u32 + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(at),
                Err(now) => from = now,
            }
        }
    }

    fn at_random(self, members: &[Member]) -> Option<usize> {
        for _ in 0..TRIES {
            let at = fastrand::usize(..members.len());
            if self.readiness(&members[at]) == Readiness::Free {
                return Some(at);
            }
        }
        let readiest = members.iter().map(|member| self.readiness(member)).min()?;
        let mut alike = (0..members.len()).filter(|&at| self.readiness(&members[at]) == readiest);
        let count = alike.clone().count();
        // One that has changed meanwhile may leave fewer.
        alike.nth(fastrand::usize(..count.max(1))).or(Some(0))
    }

    fn the_same(self, group: &Group) -> Option<usize> {
        let (members, state) = (group.members(), group.state());
        let favourite = state.favourite.load(Ordering::Relaxed);
        let is_favourite = |member: &Member| member.0.0.number == favourite;
        // Where it was when it was chosen, unless others have left since.
        let place = state.next.load(Ordering::Relaxed) as usize;
        let found = match members.get(place) {
            Some(member) if is_favourite(member) => Some(place),
            _ => members.iter().position(is_favourite),
        };
        let at_best = match found.map(|at| self.readiness(&members[at])) {
            Some(Readiness::Free | Readiness::Busy) => return found,
            at_best => at_best,
        };
        let at = self.readiest(members, place)?;
        if at_best.is_some_and(|readiness| readiness <= self.readiness(&members[at])) {
            return found;
        }
        state.next.store(at as u32, Ordering::Relaxed);
        state.favourite.store(members[at].0.0.number, Ordering::Relaxed);
        Some(at)
    }

    /// Those who have as many take turns.
    fn least_loaded(self, group: &Group) -> Option<usize> {
        let members = group.members();
        let from = group.state().next.fetch_add(1, Ordering::Relaxed) as usize;
        round(members, from).min_by_key(|&at| (self.readiness(&members[at]), members[at].0.0.load()))
    }

    /// The first, from a place in the list on, than whom nobody is readier.
    fn readiest(self, members: &[Member], from: usize) -> Option<usize> {
        let mut best = None;
        for at in round(members, from) {
            let readiness = self.readiness(&members[at]);
            if readiness == Readiness::Free {
                return Some(at);
            }
            if best.is_none_or(|(_, former)| readiness < former) {
                best = Some((at, readiness));
            }
        }
        best.map(|(at, _)| at)
    }
}

/// All places of a list that is not empty, once round.
fn round<T>(list: &[T], from: usize) -> impl Iterator<Item = usize> + use<T> {
    let from = from % list.len().max(1);
    (from..list.len()).chain(0..from)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::broker::Options;
    use crate::broker::session_entry::SessionEntry;
    use crate::broker::statistics::Counters;
    use crate::current::Current;
    use crate::hook::{ClientInfo, ListenerPolicy};
    use crate::message::ClientKey;
    use crate::packet::{ProtocolVersion, RetainHandling};
    use crate::session::{Overflow, QueueLimits, Session};
    use crate::topic::{FilterTree, TopicFilter};

    struct Fixture {
        tree: FilterTree<SessionKey, Subscription, GroupState>,
        filter: TopicFilter,
        members: Vec<Arc<SessionEntry>>,
    }

    pub fn entry(number: u64) -> Arc<SessionEntry> {
        let listener = ListenerPolicy::open("l");
        let client = ClientInfo {
            key: ClientKey(number),
            client_identifier: number.to_string().into(),
            user_name: None,
            remote: None,
            protocol_version: ProtocolVersion::V5,
            listener: Arc::new(listener),
            user_properties: Box::default(),
        };
        let limits = QueueLimits { messages: 10, bytes: 100_000, overflow: Overflow::DropNewest };
        let session = Session::new(Arc::new(Current::new(limits)), 1);
        Arc::new(SessionEntry::new(
            number,
            session,
            Arc::new(client),
            Arc::new(Counters::new(&Options::default())),
            None,
        ))
    }

    fn group(readiness: &[Readiness]) -> Fixture {
        let mut fixture = Fixture {
            tree: FilterTree::new(1),
            filter: TopicFilter::try_from("$share/g/a").unwrap(),
            members: Vec::new(),
        };
        for (number, readiness) in readiness.iter().enumerate() {
            fixture.join(number as u64, *readiness);
        }
        fixture
    }

    impl Fixture {
        fn join(&mut self, number: u64, readiness: Readiness) {
            let subscription = Subscription {
                maximum_qos: QoS::AtLeastOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::DoNotSend,
                identifier: None,
            };
            let entry = entry(number);
            entry.set_load(Load::new(readiness, 0));
            self.tree.insert(&self.filter, SessionKey(entry.clone()), subscription);
            self.members.push(entry);
        }

        fn leave(&mut self, number: u64) {
            let member = self.members.iter().find(|member| member.number == number).unwrap();
            self.tree.remove(&self.filter, &SessionKey(member.clone()));
        }

        fn set(&self, number: u64, readiness: Readiness, count: usize) {
            let member = self.members.iter().find(|member| member.number == number).unwrap();
            member.set_load(Load::new(readiness, count));
        }

        fn pick(&self, strategy: SharedStrategy, qos: QoS) -> u64 {
            let group = self.tree.group(&self.filter).unwrap();
            Pick { strategy, qos }.among(group).unwrap().0.0.number
        }

        fn picks(&self, strategy: SharedStrategy, count: usize) -> Vec<u64> {
            (0..count).map(|_| self.pick(strategy, QoS::AtLeastOnce)).collect()
        }

        /// How often each of five members is picked out of a thousand times.
        fn shares(&self, strategy: SharedStrategy) -> [usize; 5] {
            let mut shares = [0; 5];
            for number in self.picks(strategy, 1000) {
                shares[number as usize] += 1;
            }
            shares
        }
    }

    use Readiness::{Busy, Free, Full, Gone, Offline};
    use SharedStrategy::{LeastInFlight, Random, RoundRobin, Sticky};

    #[test]
    fn round_robin_gives_the_turn_of_a_member_that_is_passed_over_to_all_others() {
        // It went to the next one alone, which then got twice as much as the others.
        let group = group(&[Free, Offline, Free, Busy, Free]);
        assert_eq!(group.picks(RoundRobin, 6), [0, 2, 4, 0, 2, 4]);
        group.set(3, Free, 0);
        assert_eq!(group.picks(RoundRobin, 5), [0, 2, 3, 4, 0]);
    }

    #[test]
    fn every_strategy_prefers_the_readiest() {
        for strategy in [RoundRobin, Random, Sticky, LeastInFlight] {
            let readiness = [Gone, Full, Offline, Busy, Free];
            for best in 1..5 {
                // The readiest stands in the middle of those that are less so.
                let mut members = [&readiness[..best], &readiness[..best]].concat();
                members.insert(best, readiness[best]);
                let group = group(&members);
                assert_eq!(group.picks(strategy, 3), [best as u64; 3], "{strategy:?} among {members:?}");
            }
        }
    }

    #[test]
    fn for_qos0_a_member_without_a_connection_is_none() {
        for strategy in [RoundRobin, Random, Sticky, LeastInFlight] {
            let group = group(&[Offline, Full, Offline]);
            assert_eq!(group.pick(strategy, QoS::AtMostOnce), 1, "{strategy:?}");
            let group = self::group(&[Full, Offline, Full]);
            assert_eq!(group.pick(strategy, QoS::AtLeastOnce), 1, "{strategy:?}");
        }
    }

    #[test]
    fn random_gives_all_that_are_alike_their_share() {
        for readiness in [[Free, Offline, Free, Free, Free], [Busy, Offline, Busy, Busy, Busy]] {
            let [first, none, rest @ ..] = group(&readiness).shares(Random);
            assert_eq!(none, 0);
            assert!([first].iter().chain(&rest).all(|share| (150..350).contains(share)), "{first} {rest:?}");
        }
    }

    #[test]
    fn sticky_stays_until_its_member_leaves_or_is_full() {
        let mut group = group(&[Offline, Free, Free, Free, Free]);
        assert_eq!(group.picks(Sticky, 3), [1, 1, 1]);
        group.set(1, Busy, 9);
        assert_eq!(group.picks(Sticky, 2), [1, 1]);
        group.set(1, Full, 10);
        assert_eq!(group.picks(Sticky, 2), [2, 2]);
        // Others that come and go change nothing, though they change its place in the list.
        group.set(1, Free, 0);
        group.leave(0);
        group.join(5, Free);
        group.leave(1);
        assert_eq!(group.picks(Sticky, 2), [2, 2]);
        group.leave(2);
        let next = group.pick(Sticky, QoS::AtLeastOnce);
        assert_eq!(group.picks(Sticky, 3), [next; 3]);
        for number in 3..6 {
            group.set(number, Offline, 0);
        }
        assert_eq!(group.picks(Sticky, 2), [next; 2]);
    }

    #[test]
    fn least_in_flight_picks_who_has_least_and_goes_round_among_equals() {
        let group = group(&[Free, Free, Free, Free, Free]);
        for (number, count) in [3, 1, 2, 1, 1].into_iter().enumerate() {
            group.set(number as u64, Free, count);
        }
        group.set(4, Busy, 0);
        let [a, b, c, d, e] = group.shares(LeastInFlight);
        assert_eq!((a, c, e), (0, 0, 0));
        assert!(b > 0 && d > 0 && b + d == 1000);
        group.set(2, Free, 0);
        assert_eq!(group.picks(LeastInFlight, 2), [2, 2]);
    }

    #[test]
    fn a_load_says_what_it_was_made_of_however_much_that_is() {
        for readiness in [Free, Busy, Offline, Full, Gone] {
            let load = Load::new(readiness, usize::MAX);
            assert_eq!(load.readiness(), readiness);
            assert!(Load::new(readiness, 1) < load);
        }
    }
}
