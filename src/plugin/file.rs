//! Reads plugin files, whatever somebody put in their place.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// All of a plugin file, of `largest` bytes at most.
///
/// # Errors
/// Where it cannot be read, is no regular file (reading from a pipe would wait for ever), is larger than its
/// budget, or was written to meanwhile.
pub(super) fn read(path: &Path, largest: usize) -> io::Result<Vec<u8>> {
    read_at_most(path, largest as u64, " (`file-size`)")
}

/// The same of a file that is no plugin; `key` is what the operator can change.
pub(super) fn read_at_most(path: &Path, largest: u64, key: &str) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a pipe waits.
    check(&fs::metadata(path)?, largest, key)?;
    let file = File::open(path)?;
    // Again: the path may be that of another file by now.
    let before = file.metadata()?;
    check(&before, largest, key)?;
    let mut bytes = Vec::new();
    (&file).take(largest + 1).read_to_end(&mut bytes)?;
    let after = file.metadata()?;
    let is_another = after.len() != before.len() || after.modified().ok() != before.modified().ok();
    if is_another || bytes.len() as u64 != before.len() {
        return Err(io::Error::other(
            "it was written to while it was read; put new files in its place by `mv`",
        ));
    }
    Ok(bytes)
}

fn check(metadata: &Metadata, largest: u64, key: &str) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > largest {
        let why = format!("it has {} bytes, and such a file {largest} at most{key}", metadata.len());
        return Err(io::Error::other(why));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_or_too_large_is_refused_unread() {
        const LARGEST: usize = 64 << 20;
        let read = |path: &Path| read(path, LARGEST);
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(&std::env::temp_dir()).unwrap_err().to_string().contains("not a regular file"));
        let sparse = std::env::temp_dir().join(format!("tidegate-sparse-{}", std::process::id()));
        File::create(&sparse).unwrap().set_len(LARGEST as u64 + 1).unwrap();
        assert!(read(&sparse).unwrap_err().to_string().contains("at most (`file-size`)"));
        fs::remove_file(sparse).unwrap();
    }
}
