//! The plugins in their order, and which of several verdicts wins: one file per hook.
//!
//! The rules are those of `wit/`: each plugin sees what the one before left, the first refusal ends the
//! chain, and where a plugin fails its failure policy speaks in its place.

pub(super) mod authenticate;
pub(super) mod authorize;
mod by_topic;
pub(super) mod connect;
pub(super) mod enqueue;
pub(super) mod not_consumed;
pub(super) mod publish;
pub(super) mod subscribe;
pub(super) mod unsubscribe;
mod wanted_lately;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use self::by_topic::ByTopic;
use super::aside::Aside;
use super::host::Effects;
use super::options::Hook;
use super::version::Version;
use crate::hook::{ClientInfo, HookSet, Reply};
use crate::packet::ReasonCode;

/// What is asked, in which order. Replaced as a whole when a plugin is loaded.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) plugins: Vec<Arc<Version>>,
    by_hook: [Vec<Arc<Version>>; Hook::COUNT],
    /// Those of the authorizers that are asked before deliveries.
    delivery_authorizers: Vec<Arc<Version>>,
    pub(super) intercepting_publish: ByTopic,
    pub(super) not_consumed: ByTopic,
    /// What any client wants.
    pub(super) wanted: HookSet,
    /// Those for clients of a listener that some plugin is for.
    by_listener: HashMap<String, Chain>,
}

impl Chain {
    pub(super) fn new(plugins: Vec<Arc<Version>>) -> Chain {
        let listeners: BTreeSet<&String> = plugins.iter().flat_map(|plugin| plugin.listeners()).collect();
        if listeners.is_empty() {
            return Chain::of_one_listener(plugins);
        }
        let is_for = |plugin: &Version, name: &String| plugin.listeners().contains(name);
        let with = |wants: &dyn Fn(&Version) -> bool| {
            let wants = |plugin: &&Arc<Version>| plugin.listeners().is_empty() || wants(plugin);
            Chain::of_one_listener(plugins.iter().filter(wants).cloned().collect())
        };
        let chain = |name: &String| (name.clone(), with(&|plugin| is_for(plugin, name)));
        let by_listener: HashMap<String, Chain> = listeners.into_iter().map(chain).collect();
        let others = with(&|_| false);
        let wanted = by_listener.values().fold(others.wanted, |set, chain| set.with(chain.wanted));
        Chain { by_listener, wanted, plugins, ..others }
    }

    fn of_one_listener(plugins: Vec<Arc<Version>>) -> Chain {
        let with = |hook: Hook| plugins.iter().filter(|p| p.has(hook)).cloned().collect::<Vec<_>>();
        let by_hook = Hook::ALL.map(with);
        let mut delivery_authorizers = by_hook[Hook::Authorizer.index()].clone();
        delivery_authorizers.retain(|plugin| plugin.authorize_deliveries);
        let mut wanted = Hook::ALL
            .into_iter()
            .filter(|hook| !by_hook[hook.index()].is_empty())
            .fold(HookSet::NONE, |set, hook| set.with(bit(hook)));
        if !delivery_authorizers.is_empty() {
            wanted = wanted.with(HookSet::AUTHORIZER_DELIVERIES);
        }
        let by_topic = |hook: Hook| ByTopic::new(&by_hook[hook.index()]);
        Chain {
            intercepting_publish: by_topic(Hook::InterceptingPublish),
            not_consumed: by_topic(Hook::ApplicationMessageNotConsumed),
            plugins,
            by_hook,
            delivery_authorizers,
            wanted,
            by_listener: HashMap::new(),
        }
    }

    /// Those who are asked about this client and what it does.
    #[inline]
    pub(super) fn about(&self, client: Option<&Arc<ClientInfo>>) -> &Chain {
        if self.by_listener.is_empty() {
            return self;
        }
        client.and_then(|client| self.by_listener.get(&client.listener.name)).unwrap_or(self)
    }

    #[inline]
    pub(super) fn of(&self, hook: Hook) -> &[Arc<Version>] {
        &self.by_hook[hook.index()]
    }

    pub(super) fn delivery_authorizers(&self) -> &[Arc<Version>] {
        &self.delivery_authorizers
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Version>> {
        self.plugins.iter().find(|plugin| plugin.name() == name)
    }
}

/// Whether one of these is on probation or may wait, so that the chain has to run on another thread.
#[inline]
pub(super) fn must_go_aside(plugins: &[Arc<Version>]) -> bool {
    plugins.iter().any(|plugin| plugin.must_go_aside())
}

/// The threads of the first that may wait, else those for plugins on probation: a call that waits takes no
/// thread from these.
#[cold]
pub(super) fn threads<'a>(plugins: &'a [Arc<Version>], hook: Hook, for_probation: &'a Aside) -> &'a Aside {
    let waiting = plugins.iter().find_map(|plugin| plugin.waiting());
    waiting.map_or(for_probation, |waiting| waiting.threads(hook))
}

const fn bit(hook: Hook) -> HookSet {
    match hook {
        Hook::ValidatingConnection => HookSet::VALIDATING_CONNECTION,
        Hook::Authorizer => HookSet::AUTHORIZER,
        Hook::InterceptingPublish => HookSet::INTERCEPTING_PUBLISH,
        Hook::InterceptingClientEnqueue => HookSet::INTERCEPTING_CLIENT_ENQUEUE,
        Hook::InterceptingSubscription => HookSet::INTERCEPTING_SUBSCRIPTION,
        Hook::InterceptingUnsubscription => HookSet::INTERCEPTING_UNSUBSCRIPTION,
        Hook::ApplicationMessageNotConsumed => HookSet::APPLICATION_MESSAGE_NOT_CONSUMED,
        Hook::Events => HookSet::EVENTS,
    }
}

/// What several plugins say beside their verdicts: properties add up, of the rest the last word holds.
fn merge_reply(into: &mut Option<Box<Reply>>, effects: Option<&mut Effects>) {
    let Some(reply) = effects.and_then(|effects| effects.reply.take()) else { return };
    let Some(before) = into else {
        *into = Some(reply);
        return;
    };
    let Reply { reason_string, user_properties, server_reference, close } = *reply;
    before.user_properties.extend(user_properties);
    before.reason_string = reason_string.or(before.reason_string.take());
    before.server_reference = server_reference.or(before.server_reference.take());
    before.close = close.or(before.close);
}

/// For the policy `disconnect`.
fn close(into: &mut Option<Box<Reply>>) {
    into.get_or_insert_default().close = Some(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
}
