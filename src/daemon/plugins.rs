//! The plugins of a configuration, for the commands: what is told about them, and a stand-in for the Wasm
//! host in a build without it, which refuses plugins.

use std::path::{Path, PathBuf};

use crate::config::{HookName, Problem};

#[cfg(feature = "wasm")]
pub(super) use super::plugin_host::{Plugins, try_all};
#[cfg(not(feature = "wasm"))]
pub(super) use without_host::{Plugins, try_all};

/// A plugin that runs.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// Those that are used.
    pub(super) hooks: Vec<HookName>,
}

/// One thing that is wrong with a plugin.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// Where the configuration names its file.
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl Trouble {
    /// As a problem of the configuration.
    pub(super) fn to_problem(&self, file: Option<&Path>) -> Problem {
        Problem {
            file: file.unwrap_or(Path::new("")).to_owned(),
            line: self.line,
            key: Some("plugin.path".to_owned()),
            message: self.message.clone(),
        }
    }
}

#[cfg(not(feature = "wasm"))]
mod without_host {
    use std::sync::Arc;

    use super::super::exit::{Failure, NO_WASM};
    use super::super::run::SharedHooks;
    use super::{Loaded, Trouble};
    use crate::admin::Figures;
    use crate::config::Config;
    use crate::hook::{NoHooks, Requester};
    use crate::server::Server;
    use crate::storage::OpenedStorage;

    pub(crate) struct Plugins;

    impl Plugins {
        pub(crate) async fn load(
            config: &Config,
            _requester: Requester,
            _storage: Option<&mut OpenedStorage>,
        ) -> Result<Plugins, Failure> {
            if config.plugins.is_empty() { Ok(Plugins) } else { Err(Failure::usage(NO_WASM)) }
        }

        pub(crate) fn hooks(&self) -> SharedHooks {
            Arc::new(NoHooks)
        }

        pub(crate) fn figures(&self, server: &Server) -> Figures {
            let listeners = Some(server.doors().clone());
            Figures { broker: server.broker().clone(), listeners, bridges: None }
        }

        pub(crate) fn loaded(&self) -> Vec<Loaded> {
            Vec::new()
        }

        pub(crate) async fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
            if config.plugins.is_empty() { Ok(()) } else { Err(vec![NO_WASM.to_owned()]) }
        }

        pub(crate) async fn stop(self) {}
    }

    pub(crate) async fn try_all(config: &Config) -> (Vec<Loaded>, Vec<Trouble>) {
        let refuse = |line| Trouble { line, message: NO_WASM.to_owned() };
        (Vec::new(), config.plugins.iter().map(|spec| refuse(spec.line)).collect())
    }
}
