//! Who may come in, how often, and who is shut out: what is known of addresses and names from one connection to the
//! next.
//!
//! Nothing here knows of sockets or packets. A listener asks its [`Door`] for a [`Place`] before a connection costs
//! anything, a connection that was not let in yet is [`Pending`], and the handshake says what became of logins.
//!
//! Two rules decide what counts for whom. **What counts against a name counts for one address only**: a stranger who
//! knows a client's name must not be able to shut it out. And **a login that succeeds takes back what counted against
//! its name, not against its address**: else whoever has one account could guess at others for ever.

mod door;
mod options;
mod pending;
mod rate;
mod source;
mod strikes;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;

pub use door::{Door, Place};
pub use options::{DoorLimits, GuardOptions, PublishLimits, RateAction};
pub use pending::Pending;
pub use rate::{Meter, Moment, Rate};
pub use source::Source;

use super::lock;
use super::statistics::{Count, Counters};
use crate::current::Current;
use crate::hook::ListenerPolicy;
use crate::packet::ReasonCode;
pub use crate::peer::{Network, NoNetwork};
use pending::{Entered, Waiting};
use strikes::{Rule, Strikes, Struck};
use table::{Remembered, Table};

/// Characters of a name that a ban shows.
const SHOWN: usize = 64;

pub struct Guard {
    began: Instant,
    options: Current<GuardOptions>,
    connections: AtomicUsize,
    /// Each of the three is locked for a few lines, when a connection comes, logs in or goes.
    visitors: Mutex<Table<Visitor>>,
    logins: Mutex<Table<Named>>,
    clients: Mutex<Table<Named>>,
    /// For names: whoever chooses them must not know what they come to.
    hasher: RandomState,
    waiting: Arc<Waiting>,
    /// Of listeners, and by what their connections know these.
    doors: Mutex<Vec<(Weak<ListenerPolicy>, Weak<Door>)>>,
    /// Whether there is, or has been, a rate for what is published.
    paces: AtomicBool,
    /// Of packets of clients that were let in.
    incomplete: AtomicUsize,
    counters: Arc<Counters>,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    pub reason: ReasonCode,
    counted: Count,
    pub why: &'static str,
}

/// Who is shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub source: Source,
    /// None: everybody from there.
    pub name: Option<Box<str>>,
    pub cause: BanCause,
    pub left: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BanCause {
    FailedLogins,
    Flapping,
}

/// A client that wants to be let in, from an address that counts.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    source: Source,
    client_identifier: &'a str,
    user_name: Option<&'a str>,
}

/// An address.
#[derive(Debug)]
struct Visitor {
    source: Source,
    connections: u32,
    rate: Meter,
    strikes: Strikes,
    forgotten_at: u32,
}

/// A name at an address.
#[derive(Debug)]
struct Named {
    key: u64,
    source: Source,
    /// Once there is a ban.
    shown: Option<Box<str>>,
    strikes: Strikes,
    forgotten_at: u32,
}

impl Guard {
    pub(super) fn new(options: GuardOptions, counters: Arc<Counters>) -> Guard {
        Guard {
            began: Instant::now(),
            paces: AtomicBool::new(!options.client_publishes.is_unlimited()),
            options: Current::new(options),
            connections: AtomicUsize::new(0),
            visitors: Mutex::default(),
            logins: Mutex::default(),
            clients: Mutex::default(),
            hasher: RandomState::new(),
            waiting: Arc::default(),
            doors: Mutex::default(),
            incomplete: AtomicUsize::new(0),
            counters,
        }
    }

    pub fn options(&self) -> &GuardOptions {
        self.options.get()
    }

    /// Holds from now on. Bans last as long as they were to, but for addresses that are exempt now.
    pub fn set_options(&self, options: GuardOptions) {
        let limits = options.client_publishes;
        self.options.replace(options);
        self.note_rates(limits);
    }

    /// Connections whose listener has this policy came by this door.
    pub fn introduce(&self, policy: &Arc<ListenerPolicy>, door: &Arc<Door>) {
        let mut doors = lock(&self.doors);
        doors.retain(|(policy, door)| policy.strong_count() > 0 && door.strong_count() > 0);
        doors.push((Arc::downgrade(policy), Arc::downgrade(door)));
    }

    pub(crate) fn door_of(&self, policy: &Arc<ListenerPolicy>) -> Option<Arc<Door>> {
        let doors = lock(&self.doors);
        doors.iter().find(|(it, _)| it.as_ptr() == Arc::as_ptr(policy)).and_then(|(_, door)| door.upgrade())
    }

    /// Whether what is published has to be charged.
    pub(crate) fn paces(&self) -> bool {
        self.paces.load(Ordering::Relaxed)
    }

    fn note_rates(&self, limits: PublishLimits) {
        if !limits.is_unlimited() {
            self.paces.store(true, Ordering::Relaxed);
        }
    }

    /// Connections now, over all listeners.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Those that were not let in yet.
    pub fn pending(&self) -> usize {
        self.waiting.count()
    }

    /// Addresses, and names with addresses, of whom something is remembered.
    pub fn remembered(&self) -> usize {
        lock(&self.visitors).len() + lock(&self.logins).len() + lock(&self.clients).len()
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// None where its address does not count.
    fn source_of(&self, address: IpAddr) -> Option<Source> {
        let exempt = self.options.get().exempt.iter().any(|network| network.contains(address));
        (!exempt).then(|| Source::of(address))
    }

    fn enter_from(&self, source: Source, now: Moment) -> Result<(), Turned> {
        let options = self.options.get();
        let mut visitors = lock(&self.visitors);
        let visitor = visitors.entry(source.number(), options.remembered, || Visitor::new(source));
        if visitor.strikes.ban_left(now.seconds()).is_some() {
            return Err(Turned::banned("the address is shut out for a while: too many failed logins"));
        }
        if options.rate_per_address().is_some_and(|rate| !visitor.rate.take(rate, now)) {
            return Err(Turned {
                reason: ReasonCode::CONNECTION_RATE_EXCEEDED,
                counted: Count::LimitConnectionRatePerAddress,
                why: "more connections per second than `connection-rate-per-address` allows",
            });
        }
        let most = options.connections_per_address;
        if most > 0 && visitor.connections as usize >= most {
            let why = "as many connections as `maximum-connections-per-address` allows";
            return Err(Turned::too_many(Count::LimitConnectionsPerAddress, why));
        }
        visitor.connections += 1;
        Ok(())
    }

    fn leave(&self, source: Source) {
        let now = self.moment();
        let mut visitors = lock(&self.visitors);
        let Some(visitor) = visitors.get_mut(source.number()) else { return };
        visitor.connections = visitor.connections.saturating_sub(1);
        let counts = !visitor.rate.is_idle(now) || visitor.forgotten_at > now.seconds();
        if visitor.connections == 0 && !counts {
            visitors.remove(source.number());
        }
    }

    /// One more connection waits to be let in. Where there are too many, one gives way that says nothing.
    ///
    /// # Errors
    /// Where all others have said CONNECT.
    pub fn wait(&self) -> Result<Pending, Turned> {
        match self.waiting.enter(self.options.get().pending_connections) {
            Entered::Waits(pending) | Entered::InPlaceOfAnother(pending) => Ok(pending),
            Entered::Full => Err(Turned {
                reason: ReasonCode::SERVER_BUSY,
                counted: Count::LimitPendingConnections,
                why: "as many connections that are not let in yet as `maximum-pending-connections` allows",
            }),
        }
    }

    /// Who logs in, where that counts.
    pub fn login<'a>(
        &self,
        address: IpAddr,
        client_identifier: &'a str,
        user_name: Option<&'a str>,
    ) -> Option<Login<'a>> {
        let source = self.source_of(address)?;
        Some(Login { source, client_identifier, user_name })
    }

    fn key(&self, source: Source, name: &str) -> u64 {
        self.hasher.hash_one((source, name))
    }

    /// To be asked before a password is looked at.
    ///
    /// # Errors
    /// Why the client is turned away.
    pub fn may_log_in(&self, login: Login<'_>) -> Result<(), Turned> {
        let now = self.moment().seconds();
        let is_banned = |table: &Mutex<Table<Named>>, name| {
            let named = lock(table).get(self.key(login.source, name)).map(|it| it.strikes.ban_left(now));
            named.flatten().is_some()
        };
        if lock(&self.visitors)
            .get(login.source.number())
            .is_some_and(|it| it.strikes.ban_left(now).is_some())
        {
            return Err(Turned::banned("the address is shut out for a while: too many failed logins"));
        }
        if is_banned(&self.logins, login.name()) {
            return Err(Turned::banned("the name is shut out for a while: too many failed logins"));
        }
        if is_banned(&self.clients, login.client_identifier) {
            return Err(Turned {
                reason: ReasonCode::CONNECTION_RATE_EXCEEDED,
                counted: Count::RefusedFlapping,
                why: "the client connected too often",
            });
        }
        Ok(())
    }

    /// The name, or the password, was wrong.
    pub fn login_failed(&self, login: Login<'_>) {
        let options = self.options.get();
        let struck = self.strike(&self.logins, login.source, login.name(), &options.name_rule());
        if struck == Struck::Banned {
            self.counters.count(Count::LimitFailedLogins);
            tracing::warn!(address = %login.source, name = ?shown(login.name()), "shut out: too many failed logins with this name from there");
        }
        if self.strike_address(login.source, options) == Struck::Banned {
            self.counters.count(Count::LimitFailedLoginsPerAddress);
            tracing::warn!(address = %login.source, "shut out: too many failed logins from there");
        }
    }

    pub fn login_succeeded(&self, login: Login<'_>) {
        if let Some(named) = lock(&self.logins).get_mut(self.key(login.source, login.name())) {
            named.strikes.forgive();
        }
        // One that has no name of its own gets a new one each time.
        let rule = self.options.get().flapping_rule();
        if login.client_identifier.is_empty() || rule.limit == 0 {
            return;
        }
        let struck = self.strike(&self.clients, login.source, login.client_identifier, &rule);
        if struck == Struck::Banned {
            self.counters.count(Count::LimitFlapping);
            tracing::warn!(address = %login.source, client = ?shown(login.client_identifier), "shut out: the client connects too often");
        }
    }

    fn strike(&self, table: &Mutex<Table<Named>>, source: Source, name: &str, rule: &Rule) -> Struck {
        let now = self.moment().seconds();
        let (key, most) = (self.key(source, name), self.options.get().remembered);
        let mut table = lock(table);
        let named = table.entry(key, most, || Named::new(key, source));
        let struck = named.strikes.strike(rule, now);
        named.forgotten_at = named.strikes.forgotten_at(rule);
        if struck == Struck::Banned {
            named.shown = Some(shown(name));
        }
        struck
    }

    fn strike_address(&self, source: Source, options: &GuardOptions) -> Struck {
        let now = self.moment().seconds();
        let rule = options.address_rule();
        let mut visitors = lock(&self.visitors);
        let visitor = visitors.entry(source.number(), options.remembered, || Visitor::new(source));
        let struck = visitor.strikes.strike(&rule, now);
        visitor.forgotten_at = visitor.strikes.forgotten_at(&rule);
        struck
    }

    /// Who is shut out now; the longest first.
    pub fn bans(&self) -> Vec<Ban> {
        let now = self.moment().seconds();
        let left = |strikes: &Strikes| strikes.ban_left(now).map(|left| Duration::from_secs(left.into()));
        let mut bans = Vec::new();
        for it in lock(&self.visitors).iter() {
            let ban = |left| Ban { source: it.source, name: None, cause: BanCause::FailedLogins, left };
            bans.extend(left(&it.strikes).map(ban));
        }
        for (table, cause) in [(&self.logins, BanCause::FailedLogins), (&self.clients, BanCause::Flapping)] {
            for it in lock(table).iter() {
                let ban = |left| Ban { source: it.source, name: it.shown.clone(), cause, left };
                bans.extend(left(&it.strikes).map(ban));
            }
        }
        bans.sort_by_key(|ban| (std::cmp::Reverse(ban.left), ban.cause));
        bans
    }

    /// Lets in again who comes from there, under whatever name. Says how many bans that were.
    pub fn lift_bans(&self, address: IpAddr) -> usize {
        let (source, now) = (Source::of(address), self.moment().seconds());
        let lift = |visitor: &mut Visitor| {
            let was_banned = visitor.strikes.ban_left(now).is_some();
            visitor.strikes.lift();
            usize::from(was_banned)
        };
        let lifted = lock(&self.visitors).get_mut(source.number()).map_or(0, lift);
        lifted + self.forget(|named| named.source == source)
    }

    /// The same for a name, or the beginning of one as a ban shows it, at whatever address.
    pub fn lift_bans_of(&self, name: &str) -> usize {
        let name = shown(name);
        self.forget(|named| named.shown.as_ref() == Some(&name))
    }

    /// Says how many of them were shut out.
    fn forget(&self, is_meant: impl Fn(&Named) -> bool) -> usize {
        let now = self.moment().seconds();
        let mut banned = 0;
        for table in [&self.logins, &self.clients] {
            lock(table).retain(|named| {
                let goes = is_meant(named);
                banned += usize::from(goes && named.strikes.ban_left(now).is_some());
                !goes
            });
        }
        banned
    }

    /// A client's packet that is not complete holds so many bytes more. Says whether all together may.
    pub(crate) fn hold_incomplete(&self, bytes: usize) -> bool {
        let before = self.incomplete.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= self.options.get().incomplete_bytes
    }

    pub(crate) fn release_incomplete(&self, bytes: usize) {
        self.incomplete.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of packets that are not complete, of clients that were let in.
    pub fn incomplete_bytes(&self) -> usize {
        self.incomplete.load(Ordering::Relaxed)
    }
}

impl<'a> Login<'a> {
    /// What is guessed at.
    fn name(self) -> &'a str {
        self.user_name.unwrap_or(self.client_identifier)
    }
}

impl Turned {
    fn too_many(count: Count, why: &'static str) -> Turned {
        Turned { reason: ReasonCode::QUOTA_EXCEEDED, counted: count, why }
    }

    pub(crate) fn counted(&self) -> Count {
        self.counted
    }

    /// Counts a connection that is closed for this.
    pub fn count(&self, guard: &Guard) {
        guard.counters.count(Count::ConnectionsRefused);
        guard.counters.count(self.counted);
    }

    fn banned(why: &'static str) -> Turned {
        Turned { reason: ReasonCode::BANNED, counted: Count::RefusedBanned, why }
    }
}

impl Visitor {
    fn new(source: Source) -> Visitor {
        Visitor {
            source,
            connections: 0,
            rate: Meter::default(),
            strikes: Strikes::default(),
            forgotten_at: 0,
        }
    }
}

impl Named {
    fn new(key: u64, source: Source) -> Named {
        Named { key, source, shown: None, strikes: Strikes::default(), forgotten_at: 0 }
    }
}

impl Remembered for Visitor {
    fn key(&self) -> u64 {
        self.source.number()
    }

    fn forgotten_at(&self) -> Option<u32> {
        (self.connections == 0).then_some(self.forgotten_at)
    }
}

impl Remembered for Named {
    fn key(&self) -> u64 {
        self.key
    }

    fn forgotten_at(&self) -> Option<u32> {
        Some(self.forgotten_at)
    }
}

/// As much of a stranger's text as is kept.
fn shown(name: &str) -> Box<str> {
    name.chars().take(SHOWN).collect::<String>().into()
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("connections", &self.connections).finish_non_exhaustive()
    }
}
