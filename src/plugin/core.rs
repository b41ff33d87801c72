//! The chain that is in force and how it is replaced. Shared by the host and its threads.
//!
//! A replacement is prepared aside, with instances for every slot, and put in force by swapping one
//! pointer: calls in flight finish on the version that they began with.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};

use super::chain::Chain;
use super::digest::sha256_hex;
use super::error::{PluginError, Problem};
use super::events::EventQueue;
use super::file;
use super::loader::{Loader, Prepared};
use super::options::{FailurePolicy, Hook, PluginOptions};
use super::version::{Version, lock};
use crate::hook::HookSet;
use crate::stamp::Stamp;

pub(super) struct Core {
    chain: ArcSwap<Chain>,
    /// That of the chain, where it can be read without holding the chain.
    wanted: AtomicU32,
    /// Counts the chains.
    generation: AtomicU64,
    pub(super) loader: Loader,
    pub(super) events: EventQueue,
    /// Held while the chain is replaced, so that replacements come one after the other; files are prepared before, as
    /// that takes long and who goes back to a version waits for this. Never taken on packet threads, nor while `files`
    /// is held.
    replacing: Mutex<()>,
    /// Guards what is known of the files; held for a few lines.
    files: Mutex<HashMap<String, File>>,
}

/// The last that was seen of a plugin's file.
#[derive(Default)]
struct File {
    stamp: Option<Stamp>,
    /// Of its signature: bytes that were refused may be taken with another one.
    signature: Option<Stamp>,
    /// Of bytes that were refused, or gone back from: not to be tried again.
    refused: Option<String>,
    /// Why the last attempt to load failed.
    error: Option<String>,
}

impl Core {
    pub(super) fn new(loader: Loader, events: EventQueue) -> Core {
        Core {
            chain: ArcSwap::from_pointee(Chain::default()),
            wanted: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            loader,
            events,
            replacing: Mutex::default(),
            files: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn chain(&self) -> Guard<Arc<Chain>> {
        self.chain.load()
    }

    #[inline]
    pub(super) fn wanted(&self) -> HookSet {
        HookSet(self.wanted.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Version>> {
        self.chain().find(name).cloned()
    }

    /// Files that make another version when they change.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let chain = self.chain();
        let options = chain.plugins.iter().map(|plugin| &plugin.options);
        options
            .flat_map(|options| [Some(options.path.clone()), options.trust.signature_of(&options.path)])
            .flatten()
            .collect()
    }

    /// Why the file of this plugin is not what runs.
    pub(super) fn load_error(&self, name: &str) -> Option<String> {
        lock(&self.files).get(name).and_then(|file| file.error.clone())
    }

    /// Makes these the chain, in this order; all or none. What did not change goes on as it is.
    pub(super) fn replace_all(&self, plugins: &[PluginOptions]) -> Result<(), Vec<PluginError>> {
        let before = self.chain.load_full();
        let mut errors = duplicates(plugins);
        let mut files = HashMap::new();
        let mut prepared = Vec::with_capacity(plugins.len());
        for options in plugins {
            let (stamp, signature) = stamps(options);
            files.insert(options.name.clone(), File { stamp, signature, ..File::default() });
            let is_known = before.find(&options.name).is_some_and(|former| is_unchanged(former, options));
            prepared.push((!is_known).then(|| self.loader.prepare(options)));
        }
        let _replacing = lock(&self.replacing);
        let mut after: Vec<Arc<Version>> = Vec::with_capacity(plugins.len());
        for (options, prepared) in plugins.iter().zip(prepared) {
            match self.renewed(options, prepared) {
                Ok(version) => after.push(version),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        *lock(&self.files) = files;
        self.put_in_force(after);
        Ok(())
    }

    /// What runs, where it is what these options and the file make; else what was prepared, ready to be called.
    fn renewed(
        &self,
        options: &PluginOptions,
        prepared: Option<Result<Prepared, PluginError>>,
    ) -> Result<Arc<Version>, PluginError> {
        // It may be another than when this was prepared.
        let former = self.find(&options.name);
        let is_what_runs = |sha256: &str| {
            former.as_ref().filter(|former| former.options == *options && former.sha256 == sha256).cloned()
        };
        let prepared = match prepared {
            Some(prepared) => prepared?,
            None => match former.as_ref().filter(|former| is_unchanged(former, options)) {
                Some(former) => return Ok(Arc::clone(former)),
                None => self.loader.prepare(options)?,
            },
        };
        match is_what_runs(&prepared.sha256) {
            Some(running) => Ok(running),
            None => self.loader.finish(prepared, options, former.as_deref()).map(Arc::new),
        }
    }

    /// Loads the plugins whose files changed; `anyway` also looks at files that seem untouched.
    pub(super) fn reload_changed(&self, anyway: bool) {
        for running in &self.chain.load_full().plugins {
            let stamps = stamps(&running.options);
            let is_there = stamps.0.is_some();
            let changed = self.note_stamps(running.name(), stamps);
            if is_there && (changed || anyway) {
                self.reload_one(running);
            } else if changed {
                let (plugin, file) = (running.name(), running.options.path.display());
                tracing::warn!(plugin, %file, "the plugin's file is gone; what runs goes on, but a restart would fail");
            }
        }
    }

    fn reload_one(&self, running: &Arc<Version>) {
        let mut running = Arc::clone(running);
        // Once more, where another version came while this was prepared.
        while let Some(prepared) = self.changed(&running) {
            let _replacing = lock(&self.replacing);
            match self.find(running.name()) {
                Some(now) if Arc::ptr_eq(&now, &running) => return self.take_over(&running, prepared),
                Some(now) => running = now,
                None => return,
            }
        }
    }

    /// What the plugin's file has become; none where it is what runs, was refused before, or cannot be used.
    fn changed(&self, running: &Arc<Version>) -> Option<Prepared> {
        let name = running.name();
        let bytes = match file::read(&running.options.path, running.options.budgets.file) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(
                    plugin = name, running = running.number, %error,
                    "the changed plugin file cannot be read, the version before it goes on"
                );
                self.while_it_runs(running, || self.note_load(name, None, Some(error.to_string())));
                return None;
            }
        };
        let sha256 = sha256_hex(&bytes);
        if sha256 == running.sha256 {
            self.while_it_runs(running, || self.note_load(name, None, None));
            return None;
        }
        if lock(&self.files).get(name).is_some_and(|file| file.refused.as_ref() == Some(&sha256)) {
            return None;
        }
        match self.loader.prepare_bytes(&bytes, &running.options) {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                self.while_it_runs(running, || self.note_refusal(running, sha256, &error));
                None
            }
        }
    }

    /// What was found about a file says nothing any more once there was a way back from what ran then.
    fn while_it_runs(&self, running: &Arc<Version>, note: impl FnOnce()) {
        let _replacing = lock(&self.replacing);
        if self.find(running.name()).is_some_and(|now| Arc::ptr_eq(&now, running)) {
            note();
        }
    }

    fn take_over(&self, running: &Arc<Version>, prepared: Prepared) {
        let sha256 = prepared.sha256.clone();
        match self.loader.finish(prepared, &running.options, Some(running)) {
            Ok(version) => {
                tell_of_lost_hooks(running, &version);
                // Before it answers: who sees it do so finds nothing of the failure before.
                self.note_load(running.name(), None, None);
                self.exchange(running, Arc::new(version));
            }
            Err(error) => self.note_refusal(running, sha256, &error),
        }
    }

    fn note_refusal(&self, running: &Version, sha256: String, error: &PluginError) {
        if error.problems.contains(&Problem::HostEnds) {
            return;
        }
        tracing::error!(
            plugin = running.name(), running = running.number, %error,
            "the changed plugin cannot be loaded, the version before it goes on"
        );
        // What the surroundings are to blame for may go well the next time.
        let refused = error.problems.iter().any(Problem::is_of_the_file).then_some(sha256);
        self.note_load(running.name(), refused, Some(error.why()));
    }

    /// Whether one of the plugin's file and its signature is another than the last one.
    fn note_stamps(&self, name: &str, (stamp, signature): (Option<Stamp>, Option<Stamp>)) -> bool {
        let mut files = lock(&self.files);
        let file = files.entry(name.to_owned()).or_default();
        if file.signature != signature {
            file.refused = None;
        }
        let is_another = file.stamp != stamp || file.signature != signature;
        (file.stamp, file.signature) = (stamp, signature);
        is_another
    }

    fn note_load(&self, name: &str, refused: Option<String>, error: Option<String>) {
        let mut files = lock(&self.files);
        let file = files.entry(name.to_owned()).or_default();
        (file.refused, file.error) = (refused, error);
    }

    /// Puts the version before in force again, if this one still is.
    pub(super) fn go_back(&self, name: &str, number: u64) {
        let _replacing = lock(&self.replacing);
        let Some(bad) = self.find(name).filter(|version| version.number == number) else { return };
        let Some(good) = lock(&bad.previous).take() else { return };
        let why = format!("version {number} failed, version {} is back", good.number);
        self.note_load(name, Some(bad.sha256.clone()), Some(why));
        tracing::warn!(
            plugin = name,
            failed = number,
            back = good.number,
            "plugin went back to the version before"
        );
        good.health.forget();
        good.refill();
        self.exchange(&bad, good);
    }

    fn exchange(&self, old: &Arc<Version>, new: Arc<Version>) {
        let plugins = self.chain.load_full().plugins.clone();
        let exchanged = plugins.into_iter().map(|p| if Arc::ptr_eq(&p, old) { Arc::clone(&new) } else { p });
        self.put_in_force(exchanged.collect());
    }

    /// Swaps the chain, then ends what is not in it any more.
    fn put_in_force(&self, plugins: Vec<Arc<Version>>) {
        let chain = Arc::new(Chain::new(plugins));
        for plugin in &chain.plugins {
            let before = self.chain.load();
            let before = before.find(plugin.name());
            if before.is_none_or(|before| !Arc::ptr_eq(before, plugin)) {
                plugin.begins();
            }
            remember(plugin, before);
            plugin.take_over();
        }
        let before = self.chain.swap(Arc::clone(&chain));
        self.wanted.store(chain.wanted.0, Ordering::Relaxed);
        // After the swap: a verdict of the chain before is never taken for one of this chain.
        self.generation.fetch_add(1, Ordering::Release);
        for old in &before.plugins {
            let next = chain.find(old.name());
            if next.is_none_or(|next| !Arc::ptr_eq(next, old)) {
                old.drain(next.map(|next| &**next));
                old.retire();
            }
        }
    }

    /// Ends every instance; those that are called nevertheless are made anew.
    pub(super) fn drain(&self) {
        let _replacing = lock(&self.replacing);
        for plugin in &self.chain().plugins {
            plugin.drain(None);
        }
    }
}

/// A default may now decide what a plugin did.
fn tell_of_lost_hooks(before: &Version, now: &Version) {
    let lost: Vec<&str> =
        before.hooks.iter().filter(|hook| !now.hooks.contains(hook)).map(|hook| hook.name()).collect();
    if !lost.is_empty() {
        tracing::warn!(
            plugin = now.name(),
            ?lost,
            "the changed plugin does not have all hooks that the version before had: it is not asked there any more; \
             `hooks` of its [[plugin]] has such a file refused"
        );
    }
}

/// Keeps the version before, where a policy may want it back.
fn remember(new: &Arc<Version>, old: Option<&Arc<Version>>) {
    let wants_it = Hook::ALL.into_iter().any(|hook| new.policy(hook) == FailurePolicy::LastGood);
    if let Some(old) = old.filter(|old| wants_it && old.number < new.number) {
        *lock(&new.previous) = Some(Arc::clone(old));
    }
}

/// Of the plugin's file and of its signature.
fn stamps(options: &PluginOptions) -> (Option<Stamp>, Option<Stamp>) {
    let signature = options.trust.signature_of(&options.path);
    (Stamp::of(&options.path), signature.and_then(|signature| Stamp::of(&signature)))
}

fn is_unchanged(former: &Version, options: &PluginOptions) -> bool {
    former.options == *options
        && file::read(&options.path, options.budgets.file)
            .is_ok_and(|bytes| sha256_hex(&bytes) == former.sha256)
}

fn duplicates(plugins: &[PluginOptions]) -> Vec<PluginError> {
    let repeated = plugins
        .iter()
        .enumerate()
        .filter(|(index, options)| plugins[..*index].iter().any(|earlier| earlier.name == options.name));
    repeated
        .map(|(_, options)| PluginError {
            plugin: options.name.clone(),
            path: options.path.clone(),
            problems: vec![Problem::DuplicateName],
        })
        .collect()
}
