//! Notices when plugin files change and has them loaded, on a thread of its own.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::core::Core;
use crate::stamp;

/// A folder where something always happens must not put off a reload for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

pub(super) enum Notice {
    /// Something happened in a folder that is watched.
    Stir,
    /// Look at the files, whether something happened or not.
    Poke,
    /// The chain is another: watch its folders.
    Rewatch,
    Stop,
}

/// Where to tell the thread that something is to be looked at.
#[derive(Clone)]
pub(super) struct Notices(Sender<Notice>);

impl Notices {
    pub(super) fn send(&self, notice: Notice) {
        // Without the thread, which ends with the host, nobody looks.
        let _ = self.0.send(notice);
    }
}

/// `settle`: how long the folders have to be quiet. Without `watch`, only pokes count.
pub(super) fn start(
    core: Weak<Core>,
    watch: bool,
    settle: Duration,
) -> io::Result<(Notices, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let mut folders = Folders::new(watch, sender.clone());
    if let Some(core) = core.upgrade() {
        folders.watch(&core.paths());
    }
    if watch {
        let _ = sender.send(Notice::Rewatch);
    }
    let handle = thread::Builder::new()
        .name("plugin-watcher".into())
        .spawn(move || run(&core, &receiver, folders, settle))?;
    Ok((Notices(sender), handle))
}

fn run(core: &Weak<Core>, notices: &Receiver<Notice>, mut folders: Folders, settle: Duration) {
    while let Ok(first) = notices.recv() {
        let Some(seen) = settled(first, notices, settle) else { return };
        let Some(core) = core.upgrade() else { return };
        // The chain may be another, and links may lead elsewhere; what happens from here on is told.
        folders.watch(&core.paths());
        if seen.look {
            core.reload_changed(seen.poked);
            folders.watch(&core.paths());
        }
    }
}

#[derive(Default)]
struct Seen {
    look: bool,
    poked: bool,
}

/// Waits until nothing has happened for a while; none when it is time to stop.
fn settled(first: Notice, notices: &Receiver<Notice>, settle: Duration) -> Option<Seen> {
    let begun = Instant::now();
    let mut seen = Seen::default();
    let mut next = Some(first);
    while let Some(notice) = next {
        match notice {
            Notice::Stir => seen.look = true,
            Notice::Poke => (seen.look, seen.poked) = (true, true),
            // What changed before its folder was watched would go unnoticed.
            Notice::Rewatch => seen.look = true,
            Notice::Stop => return None,
        }
        let wait = if begun.elapsed() < LONGEST_WAIT { settle } else { Duration::ZERO };
        next = notices.recv_timeout(wait).ok();
    }
    Some(seen)
}

/// The folders that are watched. Files are not: one that is replaced would be lost sight of.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(watch: bool, notices: Sender<Notice>) -> Folders {
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(&event.kind)) {
                let _ = notices.send(Notice::Stir);
            }
        };
        let watcher = watch.then(|| notify::recommended_watcher(on_event));
        let watcher = watcher.and_then(|watcher| {
            let warn = |error: &_| tracing::warn!(%error, "plugin files are not watched");
            watcher.inspect_err(warn).ok()
        });
        Folders { watcher, watched: BTreeSet::new() }
    }

    fn watch(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = paths.iter().flat_map(|path| stamp::folders(path)).collect();
        for folder in self.watched.difference(&wanted) {
            // It may be gone.
            let _ = watcher.unwatch(folder);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(folder),
                Err(error) => tracing::warn!(folder = %folder.display(), %error, "folder is not watched"),
            }
        }
    }
}

/// Reading a file is an event too, and must not look like a change, or looking would never end.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
