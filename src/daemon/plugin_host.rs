//! The plugins of a configuration on the Wasm host.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use super::exit::Failure;
use super::plugins::{Loaded, Trouble};
use super::run::SharedHooks;
use crate::admin::Figures;
use crate::config::{self, Config, HookName, PluginSpec, PluginsOptions};
use crate::hook::{self, RequestLimits, Requester};
use crate::plugin::{
    Budgets, CompileIn, FailurePolicies, FailurePolicy, Grants, Hook, HostOptions, KeptStates, PluginError,
    PluginHost, PluginOptions, PluginStatus, Trust,
};
use crate::server::Server;
use crate::storage::OpenedStorage;

/// Plugins that run.
pub(super) struct Plugins(Arc<PluginHost>);

impl Plugins {
    /// On a thread of its own, which goes on where nobody waits for it any more: signals are heard meanwhile.
    pub(super) async fn load(
        config: &Config,
        requester: Requester,
        storage: Option<&mut OpenedStorage>,
    ) -> Result<Plugins, Failure> {
        let kept = storage.map(KeptStates::of).unwrap_or_default();
        let host_options = HostOptions { kept, ..host_options(&config.plugins_options) };
        let options = options(config);
        let start = tokio::task::spawn_blocking(move || PluginHost::start(host_options, &options, requester));
        let host = start.await.map_err(|error| Failure::internal("start the plugins", &error))?;
        host.map(Plugins).map_err(|errors| {
            let troubles = troubles(&config.plugins, &errors);
            Failure::usage(format!("the plugins cannot be used\n{}", lines(config, &troubles).join("\n")))
        })
    }

    pub(super) fn hooks(&self) -> SharedHooks {
        self.0.clone()
    }

    pub(super) fn figures(&self, server: &Server) -> Figures {
        Figures {
            broker: server.broker().clone(),
            listeners: Some(server.doors().clone()),
            bridges: None,
            plugins: Some(self.0.clone()),
        }
    }

    pub(super) fn loaded(&self) -> Vec<Loaded> {
        self.0.status().into_iter().map(loaded).collect()
    }

    /// Takes over the plugins of a configuration that was read again, and files that changed.
    pub(super) async fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
        let (host, options) = (self.0.clone(), options(config));
        let reload = move || {
            host.poke();
            host.reload(&options)
        };
        match tokio::task::spawn_blocking(reload).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(errors)) => Err(lines(config, &troubles(&config.plugins, &errors))),
            Err(error) => Err(vec![format!("failed to reload the plugins: {error}")]),
        }
    }

    pub(super) async fn stop(self) {
        // Whatever the last calls left behind, the program ends now.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
    }
}

/// Loads and starts each plugin once, and stops it again.
pub(super) async fn try_all(config: &Config) -> (Vec<Loaded>, Vec<Trouble>) {
    let host_options = HostOptions { watch: false, workers: 1, ..host_options(&config.plugins_options) };
    let (requester, _requests) = hook::requests(RequestLimits::default());
    match PluginHost::start(host_options, &options(config), requester) {
        Ok(host) => {
            let found = host.status().into_iter().map(loaded).collect();
            host.shutdown();
            (found, Vec::new())
        }
        Err(errors) => (Vec::new(), troubles(&config.plugins, &errors)),
    }
}

fn host_options(options: &PluginsOptions) -> HostOptions {
    let mut host = HostOptions {
        compile_in: CompileIn::OwnProcess,
        cache_dir: options.cache.clone().or_else(user_cache),
        cache_bytes: options.cache_size,
        count_fuel: options.fuel,
        watch: options.reload,
        event_queue: options.event_queue,
        http_ca: options.http_ca.clone(),
        ..HostOptions::default()
    };
    host.quarantine.failures = options.quarantine_failures;
    host.quarantine.within = options.quarantine_window;
    host
}

pub(super) fn user_cache() -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let folder =
        given.or_else(|| absolute(PathBuf::from(env::var_os("HOME")?)).map(|home| home.join(".cache")));
    folder.map(|folder| folder.join("tidegate"))
}

fn options(config: &Config) -> Vec<PluginOptions> {
    let (common, largest) = (&config.plugins_options, config.broker.maximum_packet_size);
    config.plugins.iter().map(|spec| plugin_options(spec, common, largest)).collect()
}

fn plugin_options(spec: &PluginSpec, common: &PluginsOptions, maximum_packet_size: u32) -> PluginOptions {
    // A plugin that may see a message must be able to give it back.
    let enough = Budgets::default().handed_over.max(2 * maximum_packet_size as usize);
    PluginOptions {
        name: spec.name.clone(),
        path: spec.file.clone(),
        trust: trust(spec, common),
        settings: spec.settings.clone(),
        keep_state: spec.keep_state,
        hooks: spec.hooks.as_ref().map(|hooks| hooks.iter().filter_map(|hook| host_hook(*hook)).collect()),
        topics: spec.topics.clone(),
        listeners: spec.listeners.clone(),
        budgets: Budgets {
            file: spec.file_size,
            compile_time: spec.compile_timeout,
            compile_memory: spec.compile_memory,
            decision: spec.deadline,
            lifecycle: spec.lifecycle_deadline,
            memory: spec.memory,
            handed_over: spec.result_size.unwrap_or(enough),
            log_lines_per_second: spec.log_lines_per_second,
            publishes_per_call: spec.publishes_per_call,
            host_calls_per_call: spec.host_calls_per_call,
            table_elements: spec.table_elements,
            parts: spec.core_instances,
            state_keys: spec.state_keys,
            state_bytes: spec.state_bytes,
            calls_at_once: spec.calls_at_once,
            http_timeout: spec.http_timeout,
            http_requests_per_call: spec.http_requests_per_call,
        },
        grants: grants(&spec.grants),
        policies: policies(spec),
    }
}

fn trust(spec: &PluginSpec, common: &PluginsOptions) -> Trust {
    Trust {
        sha256: spec.sha256.clone(),
        keys: common.trusted_keys.clone(),
        signature: spec.signature.clone(),
        signature_required: spec.require_signature.unwrap_or(common.require_signature),
    }
}

fn grants(grants: &config::Grants) -> Grants {
    Grants {
        publish: grants.publish.clone(),
        retained: grants.retained.clone(),
        clients: grants.clients,
        session_items: grants.session_items,
        hosts: grants.hosts.clone(),
        files: grants.files.clone(),
    }
}

fn policies(spec: &PluginSpec) -> FailurePolicies {
    let named =
        spec.on_failure.iter().filter_map(|(hook, policy)| Some((host_hook(*hook)?, host_policy(*policy))));
    named.fold(FailurePolicies::default(), |policies, (hook, policy)| policies.with(hook, policy))
}

fn host_policy(policy: config::FailurePolicy) -> FailurePolicy {
    match policy {
        config::FailurePolicy::Deny => FailurePolicy::Deny,
        config::FailurePolicy::Allow => FailurePolicy::Allow,
        config::FailurePolicy::Next => FailurePolicy::Next,
        config::FailurePolicy::LastGood => FailurePolicy::LastGood,
        config::FailurePolicy::Disconnect => FailurePolicy::Disconnect,
    }
}

fn host_hook(hook: HookName) -> Option<Hook> {
    Hook::from_name(hook.as_str())
}

fn loaded(status: PluginStatus) -> Loaded {
    let named =
        |hook: &Hook| HookName::ALL.iter().find(|(name, _)| *name == hook.name()).map(|(_, hook)| *hook);
    Loaded { hooks: status.hooks.iter().filter_map(named).collect(), name: status.name, file: status.path }
}

/// What is wrong with plugins, one by one, with the lines of the configuration that name them.
fn troubles(specs: &[PluginSpec], errors: &[PluginError]) -> Vec<Trouble> {
    let of_one = |error: &PluginError| {
        let spec = specs.iter().find(|spec| spec.name == error.plugin);
        let about = match error.plugin.as_str() {
            "" => String::new(),
            name => format!("plugin `{name}`: "),
        };
        let trouble = |problem: &_| Trouble {
            line: spec.and_then(|spec| spec.line),
            message: format!("{about}{problem}"),
        };
        error.problems.iter().map(trouble).collect::<Vec<_>>()
    };
    errors.iter().flat_map(of_one).collect()
}

fn lines(config: &Config, troubles: &[Trouble]) -> Vec<String> {
    troubles.iter().map(|trouble| trouble.to_problem(config.file.as_deref()).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_and_policy_of_the_configuration_is_one_of_the_host() {
        for (name, hook) in HookName::ALL {
            assert_eq!(host_hook(hook).map(Hook::name), Some(name));
        }
        assert_eq!(HookName::ALL.len(), Hook::COUNT);
        let mut spec = PluginSpec::new("a", "a.wasm");
        spec.on_failure.insert(HookName::Authorizer, config::FailurePolicy::Disconnect);
        let policies = plugin_options(&spec, &PluginsOptions::default(), 1024).policies;
        assert_eq!(policies.of(Hook::Authorizer), FailurePolicy::Disconnect);
        assert_eq!(
            policies.of(Hook::InterceptingPublish),
            FailurePolicy::default_for(Hook::InterceptingPublish)
        );
    }

    #[test]
    fn default_limits_are_those_of_the_host() {
        let options = plugin_options(&PluginSpec::new("a", "a.wasm"), &PluginsOptions::default(), 1024);
        assert_eq!(options.budgets, Budgets::default());
        let host = host_options(&PluginsOptions { cache: Some("c".into()), ..PluginsOptions::default() });
        assert_eq!(host.quarantine, HostOptions::default().quarantine);
        assert_eq!(host.cache_bytes, HostOptions::default().cache_bytes);
        assert_eq!(host.event_queue, HostOptions::default().event_queue);
    }
}
