//! What is said at the start: what listens where and who may do what. What plugins do, their host says.

use tracing::{info, warn};

use super::plugins::Loaded;
use crate::config::{Config, HookName, Listener};
use crate::server::{ListenerChanges, ListenerStatus};

/// Tells all of it.
pub(super) fn started(config: &Config, open: &[ListenerStatus], plugins: &[Loaded]) {
    match &config.file {
        Some(file) => info!(file = %file.display(), "configuration"),
        None => info!("no configuration file: defaults, for clients of this machine"),
    }
    listening(config, open, plugins);
}

/// Tells what is different after a reload. Plugins may decide otherwise about listeners that stay as they are.
pub(super) fn changed(config: &Config, changes: &ListenerChanges, plugins: &[Loaded]) {
    for ListenerStatus { name, address } in &changes.removed {
        info!(listener = name, %address, "no longer listening; connections that came by it stay");
    }
    listening(config, &changes.changed, plugins);
    listening(config, &changes.added, plugins);
}

fn listening(config: &Config, open: &[ListenerStatus], plugins: &[Loaded]) {
    for ListenerStatus { name, address } in open {
        let Some(listener) = config.listeners.iter().find(|listener| listener.name == *name) else {
            continue;
        };
        let decided = Decided::by(plugins, config, listener);
        info!(listener = name, %address, "listening: {}", policy(listener, decided));
        if let Some(warning) = warning(listener, decided) {
            warn!(listener = name, %address, "{warning}");
        }
    }
}

/// What plugins decide about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    connections: bool,
    topics: bool,
}

impl Decided {
    /// About clients of this listener.
    pub(super) fn by(plugins: &[Loaded], config: &Config, listener: &Listener) -> Decided {
        let is_asked = |plugin: &Loaded| {
            let spec = config.plugins.iter().find(|spec| spec.name == plugin.name);
            spec.is_none_or(|spec| spec.listeners.is_empty() || spec.listeners.contains(&listener.name))
        };
        let any = |hook| plugins.iter().any(|plugin| is_asked(plugin) && plugin.hooks.contains(&hook));
        Decided { connections: any(HookName::ValidatingConnection), topics: any(HookName::Authorizer) }
    }
}

/// Who may do what.
pub(super) fn policy(listener: &Listener, decided: Decided) -> String {
    let named = listener.user_name_from.is_some();
    let clients = match (listener.anonymous, decided.connections) {
        (false, true) if named => {
            "only clients that a plugin allows, or whose certificate names a user, are let in"
        }
        (false, false) if named => "only clients whose certificate names a user are let in",
        (true, false) => "every client is let in",
        (true, true) => "clients are let in unless a plugin refuses them",
        (false, true) => "only clients that a plugin allows are let in",
        (false, false) => "no client is let in",
    };
    let topics = match (listener.default_authorization, decided.topics) {
        (true, false) => "every topic is allowed",
        (true, true) => "topics are allowed unless a plugin refuses them",
        (false, true) => "only topics that a plugin allows are allowed",
        (false, false) => "no topic is allowed",
    };
    format!("{clients}; {topics}")
}

/// What the operator probably did not want.
pub(super) fn warning(listener: &Listener, decided: Decided) -> Option<&'static str> {
    let local = listener.address.is_local();
    if !listener.anonymous && !decided.connections && listener.user_name_from.is_none() {
        return Some(
            "nobody can connect: no plugin decides who may. Configure a plugin with the hook \
             validating-connection, or set `anonymous = true` for this [[listener]]",
        );
    }
    if !listener.default_authorization && !decided.topics {
        return Some(
            "nobody can publish or subscribe: no plugin decides who may. Configure a plugin with the hook \
             authorizer, or set `default-authorization = \"allow\"` for this [[listener]]",
        );
    }
    if !local && listener.anonymous && !decided.connections {
        return Some("whoever reaches this address is let in: that is right on a trusted network only");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Decided = Decided { connections: false, topics: false };
    const PLUGINS: Decided = Decided { connections: true, topics: true };

    #[test]
    fn a_broker_without_a_configuration_says_what_it_allows() {
        let listener = Listener::unconfigured("default", "127.0.0.1:1883".parse().unwrap());
        assert_eq!(policy(&listener, NOBODY), "every client is let in; every topic is allowed");
        assert_eq!(warning(&listener, NOBODY), None);
    }

    #[test]
    fn an_address_that_nobody_can_use_is_warned_about() {
        let listener = Listener::unconfigured("default", "0.0.0.0:1883".parse().unwrap());
        assert_eq!(policy(&listener, NOBODY), "no client is let in; no topic is allowed");
        assert!(warning(&listener, NOBODY).unwrap().starts_with("nobody can connect"));
        assert_eq!(warning(&listener, PLUGINS), None);
        let open = Listener { anonymous: true, default_authorization: true, ..listener };
        assert!(warning(&open, NOBODY).unwrap().starts_with("whoever reaches this address"));
    }
}
