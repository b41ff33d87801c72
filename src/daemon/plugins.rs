//! The plugins of a configuration, for the commands: loaded, described, reloaded, stopped.
//!
//! The one place of the command that knows the Wasm host; a build without it refuses plugins.

use std::path::PathBuf;

use crate::config::{HookName, PluginSpec};

#[cfg(not(feature = "wasm"))]
pub(super) use without_host::{Plugins, try_all};

#[cfg(feature = "wasm")]
pub(super) use super::plugin_host::{Plugins, try_all};

/// A plugin that runs.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// The beginning of the file's SHA-256.
    pub(super) version: String,
    /// Those that are used.
    pub(super) hooks: Vec<HookName>,
}

/// A plugin that cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Unusable {
    pub(super) spec: PluginSpec,
    pub(super) message: String,
}

#[cfg(not(feature = "wasm"))]
mod without_host {
    use std::sync::Arc;

    use super::super::exit::Failure;
    use super::super::run::SharedHooks;
    use super::{Loaded, Unusable};
    use crate::config::{Config, PluginSpec, PluginsOptions};
    use crate::hook::{NoHooks, Requester};

    const REFUSAL: &str = "this build of tidegate has no Wasm host; build it with the feature `wasm`";

    pub(crate) struct Plugins;

    impl Plugins {
        pub(crate) async fn load(config: &Config, _requester: Requester) -> Result<Plugins, Failure> {
            match config.plugins.first() {
                None => Ok(Plugins),
                Some(plugin) => Err(Failure::usage(format!("plugin `{}`: {REFUSAL}", plugin.name))),
            }
        }

        pub(crate) fn hooks(&self) -> SharedHooks {
            Arc::new(NoHooks)
        }

        pub(crate) fn loaded(&self) -> Vec<Loaded> {
            Vec::new()
        }

        pub(crate) async fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
            if config.plugins.is_empty() { Ok(()) } else { Err(vec![REFUSAL.to_owned()]) }
        }

        pub(crate) async fn stop(self) {}
    }

    pub(crate) async fn try_all(
        _options: &PluginsOptions,
        specs: &[PluginSpec],
    ) -> (Vec<Loaded>, Vec<Unusable>) {
        let refuse = |spec: &PluginSpec| Unusable { spec: spec.clone(), message: REFUSAL.to_owned() };
        (Vec::new(), specs.iter().map(refuse).collect())
    }
}
