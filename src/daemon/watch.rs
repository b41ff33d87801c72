//! Notices that the configuration file was changed, or one that it names, also where it was replaced by
//! another file or where a link leads elsewhere.
//!
//! The folders are watched, not the files: one that is replaced would be lost sight of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::stamp::{Stamp, folders};

/// How long the folders have to be quiet: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(150);
/// A folder where something always happens must not put off a reload for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Watch {
    file: PathBuf,
    /// What was last told.
    known: Option<Stamp>,
    /// Beside it.
    others: Vec<Other>,
    stirred: Arc<Notify>,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

struct Other {
    file: PathBuf,
    /// What it was when the configuration was read.
    known: Option<Stamp>,
    /// It was told that the file is gone.
    is_gone: bool,
}

impl Other {
    fn new(file: PathBuf) -> Other {
        Other { known: Stamp::of(&file), file, is_gone: false }
    }

    fn is_another(&mut self) -> bool {
        let changed = is_another(&self.file, &mut self.known);
        // It came to be looked at after some quiet: nobody is replacing it at this moment.
        let is_gone = self.known.is_some() && Stamp::of(&self.file).is_none();
        if is_gone && !self.is_gone {
            let file = self.file.display();
            tracing::warn!(%file, "the file is gone: what was read of it stays in use, and the next start needs it");
        }
        self.is_gone = is_gone;
        changed
    }
}

impl Watch {
    /// `known` is what the file was before it was read: what changed since then is told too. None, and a
    /// warning, where the system has no way to watch files.
    pub(super) fn new(file: &Path, known: Option<Stamp>) -> Option<Watch> {
        let stirred = Arc::new(Notify::new());
        let stir = stirred.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                stir.notify_one();
            }
        };
        let warn =
            |error: &_| tracing::warn!(%error, "the configuration file is not watched; SIGHUP reloads it");
        let watcher = notify::recommended_watcher(on_event).inspect_err(warn).ok()?;
        let (file, watched) = (file.to_owned(), BTreeSet::new());
        let mut watch = Watch { file, known, others: Vec::new(), stirred, watcher, watched };
        watch.follow_links();
        watch.stirred.notify_one();
        Some(watch)
    }

    /// Watches these files beside the configuration's, from what they are now on.
    pub(super) fn set_others(&mut self, files: impl Iterator<Item = PathBuf>) {
        self.others = files.map(Other::new).collect();
        self.follow_links();
    }

    /// Waits until a file has changed and its folders are quiet. Whoever drops this halfway, because of a
    /// signal to reload, reads the file anyway.
    pub(super) async fn changed(&mut self) {
        loop {
            self.stirred.notified().await;
            let quiet = async { while timeout(SETTLE, self.stirred.notified()).await.is_ok() {} };
            let _ = timeout(LONGEST_WAIT, quiet).await;
            self.follow_links();
            let mut changed = is_another(&self.file, &mut self.known);
            for other in &mut self.others {
                changed |= other.is_another();
            }
            if changed {
                return;
            }
        }
    }

    /// Watches the folders that matter now.
    fn follow_links(&mut self) {
        let files = self.others.iter().map(|other| &other.file).chain([&self.file]);
        let wanted: BTreeSet<PathBuf> = files.flat_map(|file| folders(file)).collect();
        for folder in self.watched.difference(&wanted) {
            // It may be gone.
            let _ = self.watcher.unwatch(folder);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if !self.watched.contains(&folder)
                && self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(folder);
            }
        }
    }
}

fn is_another(file: &Path, known: &mut Option<Stamp>) -> bool {
    let now = Stamp::of(file);
    // A file that is missing for a moment is being replaced.
    let changed = now.is_some() && now != *known;
    if changed {
        *known = now;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_noticed_and_one_that_is_only_read_is_not() {
        let folder = std::env::temp_dir().join(format!("tidegate-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("t.toml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(&file, Stamp::of(&file)).unwrap();
        std::fs::read(&file).unwrap();
        std::fs::write(folder.join("another"), "x").unwrap();
        assert!(timeout(4 * SETTLE, watch.changed()).await.is_err());
        std::fs::write(folder.join("new"), "bc").unwrap();
        std::fs::rename(folder.join("new"), &file).unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.expect("noticed");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn another_file_that_the_configuration_names_is_noticed_too() {
        let folder = std::env::temp_dir().join(format!("tidegate-watch-other-{}", std::process::id()));
        let (file, other) = (folder.join("t.toml"), folder.join("users/passwd"));
        std::fs::create_dir_all(folder.join("users")).unwrap();
        std::fs::write(&file, "a").unwrap();
        std::fs::write(&other, "a").unwrap();
        let mut watch = Watch::new(&file, Stamp::of(&file)).unwrap();
        watch.set_others([other.clone()].into_iter());
        assert!(timeout(4 * SETTLE, watch.changed()).await.is_err());
        std::fs::write(&other, "bc").unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.expect("noticed");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn what_changed_between_reading_and_watching_is_noticed() {
        // The first look was taken when the watch began, after the file had been read: a change in between
        // was taken for what had been read.
        let folder = std::env::temp_dir().join(format!("tidegate-watch-early-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("t.toml");
        std::fs::write(&file, "a").unwrap();
        let read = Stamp::of(&file);
        std::fs::write(&file, "bc").unwrap();
        let mut watch = Watch::new(&file, read).unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.expect("noticed");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
