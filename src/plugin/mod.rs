//! The Wasm host: plugins that answer the hooks of [`hook::Hooks`](crate::hook::Hooks). The only user of
//! wasmtime.
//!
//! A file becomes a [`version`] of a plugin in `loader` (read, compare with what is trusted in `trust`, encode,
//! check in `surface`, make calls of it quicker in `reexport`, `compile`, cache, probe). Versions stand in their
//! order in a `chain`, which `core` replaces as a whole when the `watcher` sees a changed file. A call goes
//! through `hooks` to the chain, to each version, to one `instance`; what the plugin may ask of the broker
//! meanwhile is in `host`. `policy` decides whether a plugin that fails is called at all, `aside` calls those
//! under suspicion and those that may wait, `keeper` replaces what calls have broken, `events`
//! passes on what is only observed.
//!
//! It knows neither the broker nor the configuration file, and never decides on its own that something is
//! allowed: what no plugin answers, the failure policies answer, which deny unless told otherwise.

mod aside;
mod bindings;
mod cache;
mod chain;
mod compile;
mod contract;
mod convert;
mod core;
mod digest;
mod encode;
mod engine;
mod error;
mod event_batch;
mod events;
mod file;
mod harness;
mod hooks;
mod host;
mod http;
mod inspect;
mod instance;
mod keeper;
mod kept_state;
mod loader;
mod memory;
mod options;
mod password_hash;
mod policy;
mod preview1;
mod reexport;
mod status;
mod surface;
mod tally;
mod trust;
mod verdict;
mod version;
mod wasi;
mod watcher;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use self::aside::Aside;
use self::compile::is_worker;
use self::core::Core;
use self::events::EventQueue;
use self::keeper::{Job, Jobs};
use self::loader::Loader;
use self::version::lock;
use self::watcher::{Notice, Notices};
use crate::hook::Requester;

pub use self::compile::compile_if_asked;
pub use self::contract::WIT;
pub use self::error::{PluginError, Problem};
pub use self::harness::{Case, CaseFile, Difference, Found, Harness, Price, Question};
pub use self::host::{Histogram, MetricValue, PluginMetric};
pub use self::inspect::{Inspection, Interface, Kind, inspect};
pub use self::kept_state::KeptStates;
pub use self::options::{
    Budgets, CompileIn, FailurePolicies, FailurePolicy, Grants, Hook, HostOptions, PluginOptions,
    QuarantineOptions,
};
pub use self::status::{FailureKind, HookStatus, LastFailure, PluginState, PluginStatus};
pub use self::tally::{CallTimes, SAMPLED};
pub use self::trust::Trust;

/// They make the calls of all plugins on probation.
const PROBATION_THREADS: usize = 2;

/// Runs plugins. Implements [`Hooks`](crate::hook::Hooks).
pub struct PluginHost {
    core: Arc<Core>,
    aside: Aside,
    requester: Requester,
    jobs: Jobs,
    notices: Notices,
    /// Guards the threads that are to be waited for at the end.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl PluginHost {
    /// Loads the plugins, in the order in which they are to be asked. Takes as long as compiling and their
    /// `init` do: not for a thread that serves connections.
    ///
    /// # Errors
    /// All plugins that cannot be loaded, each with all that is wrong with it. One is enough not to start.
    pub fn start(
        options: HostOptions,
        plugins: &[PluginOptions],
        requester: Requester,
    ) -> Result<Arc<PluginHost>, Vec<PluginError>> {
        if is_worker() {
            // It would have its plugins compiled by a process that would have its plugins compiled.
            let why = "this process was started to compile a plugin: call `compile_if_asked` first of all";
            return Err(no_host(std::io::Error::other(why)));
        }
        let (jobs, waiting_jobs) = Jobs::new();
        let (events, waiting_events) = EventQueue::new(options.event_queue);
        let (watch, settle) = (options.watch, options.settle);
        let loader = Loader::new(options, requester.clone(), jobs.clone()).map_err(no_host)?;
        let core = Arc::new(Core::new(loader, events));
        core.replace_all(plugins)?;
        let weak = Arc::downgrade(&core);
        let keeper = keeper::start(weak.clone(), waiting_jobs).map_err(no_host)?;
        let observer = events::start(weak.clone(), waiting_events).map_err(no_host)?;
        let (notices, watcher) = watcher::start(weak, watch, settle).map_err(no_host)?;
        Ok(Arc::new(PluginHost {
            core,
            aside: Aside::start("plugin-aside", PROBATION_THREADS).map_err(no_host)?,
            requester,
            jobs,
            notices,
            threads: Mutex::new(vec![keeper, observer, watcher]),
        }))
    }

    /// Makes these the plugins, in this order; those whose options and file are the same go on. No call is
    /// lost or passes unasked meanwhile. Takes as long as [`start`](Self::start) does.
    ///
    /// # Errors
    /// As with `start`; then everything stays as it was.
    pub fn reload(&self, plugins: &[PluginOptions]) -> Result<(), Vec<PluginError>> {
        self.core.replace_all(plugins)?;
        self.notices.send(Notice::Rewatch);
        Ok(())
    }

    /// Has the plugin files looked at, as if they had changed; returns at once.
    pub fn poke(&self) {
        self.notices.send(Notice::Poke);
    }

    /// In the order of the chain.
    pub fn status(&self) -> Vec<PluginStatus> {
        let chain = self.core.chain();
        chain.plugins.iter().map(|version| PluginStatus::of(version, &self.core)).collect()
    }

    /// Events that found no room in the queue, since the start.
    pub fn dropped_events(&self) -> u64 {
        self.core.events.dropped()
    }

    /// Passes on the events that wait, and ends every instance with `drain`. To be called once, when no
    /// hook is called any more; waits for that.
    pub fn shutdown(&self) {
        self.core.loader.stop();
        self.core.events.stop();
        self.notices.send(Notice::Stop);
        self.jobs.send(Job::Stop);
        for thread in lock(&self.threads).drain(..) {
            // A panic of it was logged when it happened.
            let _ = thread.join();
        }
        self.core.drain();
    }
}

impl Drop for PluginHost {
    fn drop(&mut self) {
        self.core.loader.stop();
        self.core.events.stop();
        self.notices.send(Notice::Stop);
        self.jobs.send(Job::Stop);
    }
}

/// The engine or a thread cannot be had: about no plugin in particular.
fn no_host(error: std::io::Error) -> Vec<PluginError> {
    let problems = vec![Problem::NoHost(error.to_string())];
    vec![PluginError { plugin: String::new(), path: PathBuf::new(), problems }]
}
