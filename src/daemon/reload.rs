//! Taking a changed configuration over while the broker runs.
//!
//! What is wrong with a file leaves all as it was. What cannot change in a running process is named.

use std::path::Path;

use tracing::{error, info, warn};

use super::announce;
use super::arguments::RunArguments;
use super::log::Log;
use super::plugins::Plugins;
use super::run::{listener_options, overrule, reload_certificates, reload_changed_certificates};
use crate::bridge::Bridges;
use crate::config::{Config, PluginSpec};
use crate::server::{NewListeners, Server};

/// What runs, and by which configuration.
pub(super) struct Running<'a> {
    pub(super) arguments: &'a RunArguments,
    /// As it holds: where a part of the file needs a restart, what it was at the start.
    pub(super) config: Config,
    pub(super) server: &'a Server,
    pub(super) plugins: &'a Plugins,
    pub(super) bridges: &'a Bridges,
    pub(super) log: Log,
}

impl Running<'_> {
    /// Reads the configuration again and takes over what can be. Returns its plugins where it could be read.
    pub(super) async fn reload(&mut self) -> Option<Vec<PluginSpec>> {
        // Whatever is wrong with the rest. Where one of these files is, its listener goes on with what it had, which is
        // told, and the rest of the configuration is taken over.
        reload_certificates(self.server);
        let Some(file) = self.config.file.clone() else {
            info!("nothing to reload: there is no configuration file");
            return None;
        };
        match self.take_over(&file).await {
            Ok(specs) => Some(specs),
            Err(problems) => {
                problems.iter().for_each(|problem| error!("{problem}"));
                error!("the configuration was not taken over, the one before stays in use");
                None
            }
        }
    }

    async fn take_over(&mut self, file: &Path) -> Result<Vec<PluginSpec>, Vec<String>> {
        if is_empty(file) {
            return Err(vec![format!("{}: is empty, as a file is that is being written", file.display())]);
        }
        let mut config = Config::load_beside(file, &self.config.listeners)
            .map_err(|report| report.problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        overrule(&mut config, self.arguments);
        let listeners = config.listeners.iter().map(listener_options).collect();
        let listeners =
            self.server.prepare_listeners(listeners).map_err(|error| vec![format!("failed to {error}")])?;
        for part in need_restart(&self.config, &config) {
            warn!("{part} was changed, which needs a restart: until then it stays as it was");
        }
        // Those who decide come before those about whom they decide.
        let loaded = self.plugins.reload(&config).await;
        self.log.set_level(config.log.level);
        self.server.broker().set_options(config.broker.clone());
        match loaded {
            Ok(()) => {
                self.take_listeners(&config, listeners).await;
                self.bridges.set(config.bridges.clone()).await;
                let file = file.display();
                // Of the listeners that there are now.
                match reload_changed_certificates(self.server) {
                    true => info!(%file, "the configuration is taken over"),
                    false => {
                        warn!(%file, "the configuration is taken over, but for the certificates named above")
                    }
                }
            }
            Err(problems) => {
                problems.iter().for_each(|problem| error!("{problem}"));
                // One that was meant to have a plugin must not be open without it.
                error!(
                    file = %file.display(),
                    "the plugins stay as they were, and so do the listeners and the bridges; the rest is taken over"
                );
            }
        }
        let specs = config.plugins.clone();
        let running = std::mem::replace(&mut self.config, config);
        self.config.keep_what_needs_a_restart(running);
        Ok(specs)
    }

    async fn take_listeners(&self, config: &Config, listeners: NewListeners) {
        match self.server.take_listeners(listeners).await {
            Ok(changes) => announce::changed(config, &changes, &self.plugins.loaded()),
            Err(error) => error!("failed to {error}"),
        }
    }
}

/// One is read halfway whose writer has emptied it: without a listener it would be one for another address.
fn is_empty(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.len() == 0)
}

/// What differs and is not taken over, as the file names it.
fn need_restart(running: &Config, config: &Config) -> Vec<&'static str> {
    let parts = [
        ("`format` of [log]", running.log.format != config.log.format),
        ("[plugins]", running.plugins_options != config.plugins_options),
        ("[admin]", running.admin != config.admin),
        ("[storage]", running.storage != config.storage),
    ];
    parts.into_iter().filter_map(|(part, differs)| differs.then_some(part)).collect()
}
