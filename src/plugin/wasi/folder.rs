//! The files that are granted: opened, looked at, listed, and never left. A path that leads out of its grant by
//! `..` or by links is refused; so is what is neither a file nor a folder, as opening it could wait for ever.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Entries of a folder that are listed.
const MOST_ENTRIES: usize = 10_000;

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Folder(Folder),
    File {
        file: Arc<File>,
        path: PathBuf,
    },
    /// Itself, wherever it leads to; it can be looked at and not opened.
    Link(PathBuf),
}

#[derive(Clone, Debug)]
pub(super) enum Folder {
    /// Without links or `..` in either path; `at` is `root` or below.
    Real { root: Arc<Path>, at: PathBuf },
    /// Of files that are granted one by one: their names there, and where they are.
    Listed(Vec<(String, PathBuf)>),
}

/// One of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) name: String,
}

/// An `error-code` of `wasi:filesystem`.
pub(super) type Code = &'static str;

/// The folders that a plugin finds when it starts, under the paths that it sees. A grant whose file is gone is
/// left out: the plugin finds that it is not there.
pub(super) fn granted(files: &BTreeMap<String, PathBuf>) -> Vec<(String, Folder)> {
    let mut folders = Vec::new();
    let mut single: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for (seen, path) in files {
        let Ok(path) = fs::canonicalize(path) else { continue };
        if path.is_dir() {
            folders.push((seen.clone(), Folder::Real { root: path.as_path().into(), at: path }));
        } else if let Some((parent, name)) = seen.rsplit_once('/') {
            let parent = if parent.is_empty() { "/" } else { parent };
            single.entry(parent.to_owned()).or_default().push((name.to_owned(), path));
        }
    }
    folders.extend(single.into_iter().map(|(seen, files)| (seen, Folder::Listed(files))));
    folders
}

impl Folder {
    pub(super) fn open(&self, path: &str) -> Result<Node, Code> {
        match self {
            Folder::Real { root, at } => open(root, &inside(root, at, path)?),
            Folder::Listed(_) if is_here(path) => Ok(Node::Folder(self.clone())),
            Folder::Listed(files) => {
                let name = path.strip_prefix("./").unwrap_or(path);
                let found = files.iter().find(|(known, _)| known == name);
                let (_, path) = found.ok_or("no-entry")?;
                open(path, path)
            }
        }
    }

    /// The link that the path leads to, where it is one: for who does not want it followed.
    pub(super) fn link(&self, path: &str) -> Option<Node> {
        let Folder::Real { root, at } = self else { return None };
        let name = Path::new(path).file_name()?;
        let parent = Path::new(path).parent()?.to_str()?;
        let parent = inside(root, at, if parent.is_empty() { "." } else { parent }).ok()?;
        let link = parent.join(name);
        fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_symlink()).then_some(Node::Link(link))
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, Code> {
        match self {
            Folder::Listed(files) => {
                Ok(files.iter().map(|(name, _)| Entry { kind: "regular-file", name: name.clone() }).collect())
            }
            Folder::Real { at, .. } => {
                let entries = fs::read_dir(at).map_err(|error| code(&error))?;
                Ok(entries.flatten().take(MOST_ENTRIES).filter_map(|entry| to_entry(&entry)).collect())
            }
        }
    }
}

impl Node {
    pub(super) fn metadata(&self) -> io::Result<Option<Metadata>> {
        match self {
            Node::Folder(Folder::Real { at, .. }) => fs::metadata(at).map(Some),
            Node::Folder(Folder::Listed(_)) => Ok(None),
            Node::File { file, .. } => file.metadata().map(Some),
            Node::Link(path) => fs::symlink_metadata(path).map(Some),
        }
    }

    /// The same for the same file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Node::Folder(Folder::Real { at, .. }) => Some(at),
            Node::Folder(Folder::Listed(_)) => None,
            Node::File { path, .. } | Node::Link(path) => Some(path),
        }
    }
}

fn is_here(path: &str) -> bool {
    matches!(path, "." | "./")
}

/// Where the path leads, which is in `root` and is there.
fn inside(root: &Path, at: &Path, path: &str) -> Result<PathBuf, Code> {
    let is_relative = |part| !matches!(part, Component::RootDir | Component::Prefix(_));
    if !Path::new(path).components().all(is_relative) {
        return Err("not-permitted");
    }
    // First by the words of the path alone: that a path outside is there or not is not told.
    let mut words = at.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                words.pop();
            }
            part => words.push(part),
        }
        if !words.starts_with(root) {
            return Err("not-permitted");
        }
    }
    let real = fs::canonicalize(at.join(path)).map_err(|error| code(&error))?;
    if real.starts_with(root) { Ok(real) } else { Err("not-permitted") }
}

fn open(root: &Path, path: &Path) -> Result<Node, Code> {
    let metadata = fs::metadata(path).map_err(|error| code(&error))?;
    if metadata.is_dir() {
        return Ok(Node::Folder(Folder::Real { root: root.into(), at: path.to_owned() }));
    }
    if !metadata.is_file() {
        return Err("access");
    }
    let file = File::open(path).map_err(|error| code(&error))?;
    Ok(Node::File { file: Arc::new(file), path: path.to_owned() })
}

fn to_entry(entry: &fs::DirEntry) -> Option<Entry> {
    let name = entry.file_name().into_string().ok()?;
    let kind = match entry.file_type().ok()? {
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "regular-file",
        kind if kind.is_symlink() => "symbolic-link",
        _ => "unknown",
    };
    Some(Entry { kind, name })
}

pub(super) fn code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::NotFound => "no-entry",
        io::ErrorKind::PermissionDenied => "access",
        io::ErrorKind::NotADirectory => "not-directory",
        io::ErrorKind::IsADirectory => "is-directory",
        io::ErrorKind::InvalidInput => "invalid",
        _ => "io",
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder `granted` with files and links, beside a file that is not granted.
    fn folder() -> (tempdir::Folder, Folder) {
        let outer = tempdir::Folder::new();
        let root = outer.path().join("granted");
        fs::create_dir_all(root.join("deep")).unwrap();
        fs::write(root.join("deep/rules.json"), "{}").unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        symlink("deep/rules.json", root.join("inward")).unwrap();
        symlink("../secret", root.join("outward")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        let files = BTreeMap::from([("/rules".to_owned(), root)]);
        let (seen, folder) = granted(&files).remove(0);
        assert_eq!(seen, "/rules");
        (outer, folder)
    }

    /// A folder of its own that goes with the test.
    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicUsize, Ordering};

        pub(super) struct Folder(PathBuf);

        impl Folder {
            pub(super) fn new() -> Folder {
                static NUMBER: AtomicUsize = AtomicUsize::new(0);
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let name = format!("tidegate-files-{}-{number}", std::process::id());
                let path = std::env::temp_dir().join(name);
                std::fs::create_dir_all(&path).unwrap();
                Folder(path)
            }

            pub(super) fn path(&self) -> &Path {
                &self.0
            }
        }

        impl Drop for Folder {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn files_below_a_granted_folder_are_opened() {
        let (_outer, folder) = folder();
        for path in ["deep/rules.json", "./deep/../deep/rules.json", "inward"] {
            assert!(matches!(folder.open(path), Ok(Node::File { .. })), "{path}");
        }
        let Ok(Node::Folder(deep)) = folder.open("deep") else { panic!() };
        assert_eq!(deep.entries().unwrap(), [Entry { kind: "regular-file", name: "rules.json".into() }]);
        assert!(matches!(deep.open("../inward"), Ok(Node::File { .. })), "up, and not out");
    }

    #[test]
    fn no_path_leads_out_of_a_granted_folder() {
        let (_outer, folder) = folder();
        for path in ["../secret", "deep/../../secret", "outward", "absolute/passwd", "/etc/passwd", ".."] {
            assert_eq!(folder.open(path).unwrap_err(), "not-permitted", "{path}");
        }
        assert_eq!(folder.open("../nowhere").unwrap_err(), "not-permitted", "nor is told what is there");
        assert_eq!(folder.open("nowhere").unwrap_err(), "no-entry");
        assert_eq!(folder.open("a\0b").unwrap_err(), "invalid");
    }

    /// C libraries look at each entry of a folder that they list.
    #[test]
    fn a_link_that_leads_out_can_be_looked_at_and_not_followed() {
        let (_outer, folder) = folder();
        let Some(Node::Link(path)) = folder.link("outward") else { panic!() };
        assert!(path.ends_with("granted/outward"));
        assert!(folder.link("deep").is_none() && folder.link("../secret").is_none());
    }

    #[test]
    fn a_single_file_is_seen_alone() {
        let (outer, _) = folder();
        let files = BTreeMap::from([
            ("/etc/rules.json".to_owned(), outer.path().join("granted/deep/rules.json")),
            ("/gone".to_owned(), outer.path().join("gone")),
        ]);
        let mut folders = granted(&files);
        let (seen, folder) = folders.remove(0);
        assert_eq!((seen.as_str(), folders.len()), ("/etc", 0));
        assert!(matches!(folder.open("rules.json"), Ok(Node::File { .. })));
        assert_eq!(folder.open("../secret").unwrap_err(), "no-entry");
        assert_eq!(folder.entries().unwrap().len(), 1);
    }

    #[test]
    fn what_could_wait_for_ever_is_not_opened() {
        let folder = granted(&BTreeMap::from([("/dev".to_owned(), PathBuf::from("/dev"))])).remove(0).1;
        assert_eq!(folder.open("zero").unwrap_err(), "access");
    }
}
