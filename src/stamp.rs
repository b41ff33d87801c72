//! Whether a file may have changed, without reading it; and which folders tell when it does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What changes when a file is written, replaced, or a link on the way to it is swapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    real_path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    /// None where there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Stamp> {
        let real_path = fs::canonicalize(path).ok()?;
        let metadata = fs::metadata(&real_path).ok()?;
        Some(Stamp {
            real_path,
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        })
    }
}

/// More links than this on the way to a file are a loop.
const MOST_LINKS: usize = 16;

/// The folders in which something has to happen for the file at `path` to become another: its own, and
/// those of the links on the way to it.
pub(crate) fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    add_folders(path, &mut found, MOST_LINKS);
    found
}

fn add_folders(path: &Path, found: &mut BTreeSet<PathBuf>, links_left: usize) {
    let Ok(path) = std::path::absolute(path) else { return };
    found.extend(path.parent().map(Path::to_owned));
    if links_left == 0 {
        return;
    }
    for link in path.ancestors() {
        let (Ok(target), Some(folder)) = (fs::read_link(link), link.parent()) else { continue };
        found.insert(folder.to_owned());
        let rest = path.strip_prefix(link).unwrap_or(Path::new(""));
        let target = folder.join(target);
        let target = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
        add_folders(&target, found, links_left - 1);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_of_links_on_the_way_are_watched_too() {
        let base = std::env::temp_dir().join(format!("tidegate-stamp-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("releases/1")).unwrap();
        fs::create_dir_all(base.join("plugins")).unwrap();
        fs::write(base.join("releases/1/x.wasm"), "x").unwrap();
        symlink(base.join("releases/1"), base.join("current")).unwrap();
        symlink("../current/x.wasm", base.join("plugins/x.wasm")).unwrap();

        let path = base.join("plugins/x.wasm");
        let watched = folders(&path);
        for folder in ["plugins", "releases/1", ""] {
            let folder = base.join(folder);
            let is_it = |w: &PathBuf| fs::canonicalize(w).unwrap() == fs::canonicalize(&folder).unwrap();
            assert!(watched.iter().any(is_it), "{} is not in {watched:?}", folder.display());
        }

        let before = Stamp::of(&path).unwrap();
        fs::create_dir_all(base.join("releases/2")).unwrap();
        fs::copy(base.join("releases/1/x.wasm"), base.join("releases/2/x.wasm")).unwrap();
        fs::remove_file(base.join("current")).unwrap();
        symlink(base.join("releases/2"), base.join("current")).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), before);
        fs::remove_dir_all(&base).unwrap();
    }
}
