//! Compiled code on disk, so that a restart does not compile again.
//!
//! Loading machine code means trusting it: only files in a folder that belongs to this process's user and
//! nobody else may write to are loaded, and only where they are what was written (a checksum beside
//! each). Whoever can write there can already act as the broker.
//!
//! It has a limit: what was not used for longest gives way. Several brokers may share a folder.

use std::cmp::Reverse;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::digest::sha256_hex;
use super::reexport;

pub(super) struct Cache {
    folder: PathBuf,
    /// Of the engine's version and settings, and of what is done to a component before it is compiled.
    engine: u64,
    /// Bytes of compiled code.
    most: u64,
}

/// A file of compiled code, or one that somebody has not finished.
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    /// Creates the folder where there is none.
    pub(super) fn open(folder: &Path, most: u64, engine: &Engine) -> io::Result<Cache> {
        create_private(folder)?;
        check_private(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        reexport::FORM.hash(&mut hasher);
        let cache = Cache { folder: folder.to_owned(), engine: hasher.finish(), most };
        // It may have been allowed more before.
        cache.make_room()?;
        Ok(cache)
    }

    /// The compiled component whose source has this SHA-256; none where it is not there or not sound.
    pub(super) fn get(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let expected = fs::read_to_string(path.with_extension("sha256")).ok()?;
        let found = match checksum(&path) {
            Ok(found) => found,
            Err(error) => return unsound(&path, &error.to_string()),
        };
        if found != expected {
            return unsound(&path, "its checksum is another");
        }
        #[expect(unsafe_code, reason = "compiled code can only be trusted, not checked")]
        // SAFETY: the file lies in a folder that only this user may write to (checked when it was
        // opened), belongs to this user, and holds what `put` wrote, as the checksum tells.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        match component {
            Ok(component) => {
                note_use(&path);
                Some(component)
            }
            Err(error) => unsound(&path, &error.to_string()),
        }
    }

    /// Keeps compiled code. A failure is only logged: the cache saves time and nothing else.
    pub(super) fn put(&self, code: wasmtime::Result<Vec<u8>>, sha256: &str) {
        let path = self.path(sha256);
        let result = code.map_err(io::Error::other).and_then(|code| {
            if code.len() as u64 > self.most {
                let why = format!("it has {} bytes, more than `cache-size`", code.len());
                return Err(io::Error::other(why));
            }
            // The code first: a checksum without its code is no entry.
            replace(&path, &code)?;
            replace(&path.with_extension("sha256"), sha256_hex(&code).as_bytes())?;
            self.make_room()
        });
        if let Err(error) = result {
            tracing::warn!(path = %path.display(), %error, "compiled plugin code is not cached");
        }
    }

    fn make_room(&self) -> io::Result<()> {
        let mut entries: Vec<Entry> = fs::read_dir(&self.folder)?.flatten().filter_map(Entry::of).collect();
        entries.sort_by_key(|entry| Reverse(entry.used));
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.bytes;
            if bytes > self.most {
                entry.remove();
            }
        }
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}-{:016x}.cwasm", self.engine))
    }
}

impl Entry {
    /// None of what is no file of a cache.
    fn of(found: fs::DirEntry) -> Option<Entry> {
        let path = found.path();
        let name = path.file_name()?.to_str()?;
        let is_unfinished = name.ends_with(".tmp") && (name.contains(".cwasm.") || name.contains(".sha256."));
        let of_cache = name.ends_with(".cwasm") || is_unfinished;
        let metadata = found.metadata().ok().filter(|metadata| of_cache && metadata.is_file())?;
        // The checksum is written with the code, and touched with each use.
        let used = fs::metadata(path.with_extension("sha256")).unwrap_or_else(|_| metadata.clone());
        Some(Entry { path, bytes: metadata.len(), used: used.modified().ok()? })
    }

    /// Another broker may have done so already.
    fn remove(self) {
        // The checksum first: without it the code is no entry.
        let _ = fs::remove_file(self.path.with_extension("sha256"));
        let _ = fs::remove_file(self.path);
    }
}

/// Where that cannot be noted, it gives way sooner.
fn note_use(path: &Path) {
    let checksum = fs::OpenOptions::new().append(true).open(path.with_extension("sha256"));
    let _ = checksum.and_then(|checksum| checksum.set_modified(SystemTime::now()));
}

fn unsound(path: &Path, why: &str) -> Option<Component> {
    tracing::warn!(path = %path.display(), why, "a cached plugin is not usable, it is compiled anew");
    None
}

fn checksum(path: &Path) -> io::Result<String> {
    check_private(path)?;
    Ok(sha256_hex(&fs::read(path)?))
}

/// Readers see the old file or the new one, never a half.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let extension = format!("{}.tmp", std::process::id());
    let aside = path.with_added_extension(extension);
    let mut file = create_file(&aside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&aside, path)
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn create_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_file(path: &Path) -> io::Result<fs::File> {
    fs::File::create(path)
}

/// That it belongs to this user and nobody else may write to it.
#[cfg(unix)]
fn check_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path)?;
    if metadata.file_type().is_symlink() {
        return Err(refusal(path, "is a symbolic link"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refusal(path, "can be written to by others"));
    }
    match own_user()? {
        user if user == metadata.uid() => Ok(()),
        _ => Err(refusal(path, "belongs to another user")),
    }
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn refusal(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", path.display()))
}

/// The user whom files belong to that this process creates; the standard library does not tell it.
#[cfg(unix)]
fn own_user() -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    use std::sync::OnceLock;
    static USER: OnceLock<u32> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(*user);
    }
    let user = match fs::metadata("/proc/self") {
        Ok(metadata) => metadata.uid(),
        Err(_) => owner_of_new_file()?,
    };
    Ok(*USER.get_or_init(|| user))
}

#[cfg(unix)]
fn owner_of_new_file() -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    let path = std::env::temp_dir().join(format!("tidegate-owner-{}", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let user = file.metadata()?.uid();
    fs::remove_file(&path)?;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plugin::engine::engine;

    #[test]
    fn what_was_not_used_for_longest_gives_way_and_foreign_files_stay() {
        let folder = std::env::temp_dir().join(format!("tidegate-cache-{}", std::process::id()));
        let engine = engine().unwrap();
        let code = || Component::new(&engine, b"\0asm\x0d\0\x01\0").and_then(|empty| empty.serialize());
        let bytes = code().unwrap().len() as u64;
        let cache = Cache::open(&folder, 2 * bytes + 1, &engine).unwrap();
        let begun = SystemTime::now();
        let aged = |path: PathBuf, age: u64| {
            let file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.set_modified(begun - Duration::from_secs(age)).unwrap();
        };
        for foreign in ["notes.txt", "big.tmp"] {
            fs::write(folder.join(foreign), vec![0; 100_000]).unwrap();
        }
        let unfinished = folder.join("x.cwasm.1.tmp");
        fs::write(&unfinished, "half").unwrap();
        aged(unfinished.clone(), 300);
        for (sha256, age) in [("a", 200), ("b", 100)] {
            cache.put(code(), sha256);
            aged(cache.path(sha256).with_extension("sha256"), age);
        }
        assert!(!unfinished.exists());
        assert!(cache.get(&engine, "a").is_some(), "it is used, and so the newer one");
        cache.put(code(), "c");
        let has = ["a", "b", "c"].map(|sha256| cache.get(&engine, sha256).is_some());
        assert_eq!(has, [true, false, true]);
        assert!(folder.join("notes.txt").exists() && folder.join("big.tmp").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
