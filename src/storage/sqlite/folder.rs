//! The data folder: looks what is there before SQLite does, as SQLite leaves files beside a database that it only
//! reads, and takes the folder for this process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::{StorageError, StorageFault};
use super::{path_in, schema};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A data folder that no other process uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked for as long as it is open; the system forgets the lock with the process.
    _lock: File,
    /// Whether a log was there when it was locked.
    had_log: bool,
}

/// What the first bytes of a database say.
struct Header([u8; 100]);

impl Folder {
    pub(super) fn lock(path: &Path) -> Result<Folder, StorageError> {
        if !path.exists() {
            make(path).map_err(|error| refused(path, format!("cannot be made: {error}")))?;
        }
        Folder::lock_existing(path)
    }

    /// The same, where it is there.
    pub(super) fn find(path: &Path) -> Result<Folder, StorageError> {
        if path.exists() { Folder::lock_existing(path) } else { Err(missing(path)) }
    }

    fn lock_existing(path: &Path) -> Result<Folder, StorageError> {
        if !path.is_dir() {
            return Err(refused(path, "is not a folder: name another one"));
        }
        require_writable(path)?;
        let lock = File::open(path).map_err(|error| refused(path, format!("cannot be opened: {error}")))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(in_use(path)),
            // Where the file system has no locks of folders, SQLite's own lock is left.
            Err(TryLockError::Error(_)) | Ok(()) => {
                let had_log = path_in(path, "-wal").exists();
                Ok(Folder { path: path.to_path_buf(), _lock: lock, had_log })
            }
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        path_in(&self.path, "")
    }

    /// Whether there is no database yet.
    ///
    /// # Errors
    /// Where there is one that cannot be used.
    pub(super) fn is_new(&self) -> Result<bool, StorageError> {
        let path = self.database();
        let log = path_in(&self.path, "-wal");
        let log_len = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let len = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(refused(&path, "is not a file: name another data folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(refused(&path, format!("cannot be looked at: {error}"))),
        };
        if len == 0 && log_len > 0 {
            let why = format!("is missing, and {} is there: restore both from a backup", log.display());
            return Err(refused(&path, why));
        }
        if len == 0 {
            return Ok(true);
        }
        require_writable(&path)?;
        // To open it writes nothing, and shows what no permission does: a file system that is read-only.
        OpenOptions::new().write(true).open(&path).map_err(|error| not_writable(&path, &error))?;
        let header =
            Header::read(&path).map_err(|error| refused(&path, format!("cannot be read: {error}")))?;
        let Some(header) = header else { return Err(foreign(&path)) };
        header.check(&path, len, log_len == 0)?;
        Ok(false)
    }

    /// Reading a copy that has no log would finish a transaction that was given up.
    pub(super) fn require_rolled_back(&self) -> Result<(), StorageError> {
        let journal = path_in(&self.path, "-journal");
        if fs::metadata(&journal).is_ok_and(|metadata| metadata.len() > 0) {
            let why =
                "is what a killed program has left: start a broker with the folder first, which repairs it";
            return Err(refused(&journal, why));
        }
        Ok(())
    }

    /// What the database and its log take.
    pub(super) fn bytes(&self) -> u64 {
        let len = |suffix| fs::metadata(path_in(&self.path, suffix)).map_or(0, |metadata| metadata.len());
        len("") + len("-wal")
    }

    /// An empty file to make a database in.
    pub(super) fn begin_new(&self) -> Result<PathBuf, StorageError> {
        let new = path_in(&self.path, ".new");
        let failed = |error: io::Error| refused(&new, format!("cannot be made: {error}"));
        for left in ["", "-journal", "-wal", "-shm"] {
            match fs::remove_file(path_in(&self.path, &format!(".new{left}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        private(OpenOptions::new().write(true).create_new(true)).open(&new).map_err(failed)?;
        Ok(new)
    }

    pub(super) fn finish_new(&self, new: &Path) -> Result<(), StorageError> {
        let path = self.database();
        let renamed = File::open(new)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(new, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        renamed.map_err(|error| refused(&path, format!("cannot be made: {error}")))
    }

    /// Has the log on the disk as it can be read now. What a process has written that was killed before its sync need not
    /// be there, and not even a sync would bring there what a sync has failed for: the system takes that for written. So
    /// the same bytes are written again first.
    pub(super) fn sync_log(&self) -> Result<(), StorageError> {
        let log = path_in(&self.path, "-wal");
        let synced = match OpenOptions::new().read(true).write(true).open(&log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(file) => write_again(file).and_then(|()| File::open(&self.path)?.sync_all()),
        };
        let failed = |error| {
            StorageError::new("open the data folder", format!("{} cannot be synced: {error}", log.display()))
        };
        synced.map_err(failed)
    }

    /// To read a database, SQLite makes a log that stays empty.
    pub(super) fn remove_what_reading_left(&self) {
        let log = path_in(&self.path, "-wal");
        if !self.had_log && fs::metadata(&log).is_ok_and(|metadata| metadata.len() == 0) {
            // It does no harm where it stays.
            let _ = fs::remove_file(log);
        }
    }
}

impl Header {
    fn read(path: &Path) -> io::Result<Option<Header>> {
        let mut bytes = [0; 100];
        match File::open(path)?.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes.starts_with(MAGIC).then_some(Header(bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check(&self, path: &Path, len: u64, is_whole: bool) -> Result<(), StorageError> {
        if self.number(68) != schema::APPLICATION.cast_unsigned() {
            return Err(refused(path, "belongs to another program: name another data folder"));
        }
        let (version, known) = (self.number(60) as usize, schema::STEPS.len());
        if version > known {
            return Err(newer(path, version, known));
        }
        // While there is a log, the pages that are missing can lie there.
        if is_whole && len < self.len() {
            let why = format!("is cut short ({len} bytes of {}): restore it from a backup", self.len());
            return Err(refused(path, why));
        }
        Ok(())
    }

    /// Bytes that the database has.
    fn len(&self) -> u64 {
        let page = match u16::from_be_bytes([self.0[16], self.0[17]]) {
            1 => 65_536,
            page => u64::from(page),
        };
        page * u64::from(self.number(28))
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

fn write_again(mut file: File) -> io::Result<()> {
    let mut piece = vec![0; 256 * 1024];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let count = file.read(&mut piece)?;
        if count == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&piece[..count])?;
        at += count as u64;
    }
}

/// For the user that runs the broker alone: messages are nobody else's business.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Also for who may write what says that it is read-only.
fn require_writable(path: &Path) -> Result<(), StorageError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.permissions().readonly() => Ok(()),
        Ok(_) => {
            Err(refused(path, "is read-only: give the user that runs tidegate the right to write there"))
        }
        Err(error) => Err(refused(path, format!("cannot be looked at: {error}"))),
    }
}

pub(super) fn newer(path: &Path, version: usize, known: usize) -> StorageError {
    let why = format!(
        "was written by a newer tidegate (version {version} of its tables; this one knows {known}): run that one, or \
         name another data folder"
    );
    refused(path, why)
}

pub(super) fn older(path: &Path, version: usize, known: usize) -> StorageError {
    let why = format!(
        "was written by an older tidegate (version {version} of its tables; this one has {known}): start a broker with \
         the folder first, which brings them up to date"
    );
    refused(path, why)
}

pub(super) fn missing(path: &Path) -> StorageError {
    refused(path, "is not there: name the data folder of a broker")
}

fn foreign(path: &Path) -> StorageError {
    refused(path, "is not an SQLite database: name another data folder")
}

fn not_writable(path: &Path, why: &dyn std::fmt::Display) -> StorageError {
    refused(path, format!("is read-only ({why}): give the user that runs tidegate the right to write there"))
}

fn in_use(path: &Path) -> StorageError {
    refused(path, "is in use by another process: stop that, or name another data folder")
}

fn refused(path: &Path, why: impl std::fmt::Display) -> StorageError {
    let why = format!("{} {why}", path.display());
    StorageError::new("open the data folder", why).with_fault(StorageFault::Unusable)
}
