//! Notices that the configuration file was changed, also where it was replaced by another file or where a
//! link leads elsewhere.
//!
//! It looks at the file twice a second: one system call, on every kind of file system, with nothing that
//! could be missed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const EVERY: Duration = Duration::from_millis(500);

pub(super) struct Watch {
    file: PathBuf,
    /// What was last told.
    known: Option<Look>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Watch {
    pub(super) fn new(file: PathBuf) -> Watch {
        let known = look(&file);
        Watch { file, known }
    }

    /// Waits until the file has changed and then lain still.
    pub(super) async fn changed(&mut self) {
        let mut before = self.known;
        loop {
            tokio::time::sleep(EVERY).await;
            let now = look(&self.file);
            // A file that is missing for a moment is being replaced.
            if now.is_some() && now == before && now != self.known {
                self.known = now;
                return;
            }
            before = now;
        }
    }
}

fn look(file: &std::path::Path) -> Option<Look> {
    let found = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Look { modified: found.modified().ok(), length: found.len(), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replaced_file_is_noticed_once_it_lies_still() {
        let folder = std::env::temp_dir().join(format!("tidegate-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("t.toml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(file.clone());
        let unchanged = tokio::time::timeout(Duration::from_secs(5), watch.changed()).await;
        assert!(unchanged.is_err());
        std::fs::write(folder.join("new"), "bc").unwrap();
        std::fs::rename(folder.join("new"), &file).unwrap();
        watch.changed().await;
        let unchanged = tokio::time::timeout(Duration::from_secs(5), watch.changed()).await;
        assert!(unchanged.is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
