//! Sockets in the file system.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use super::socket::{Accepted, Plain};

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    /// Permissions of the file; who may write to it may connect.
    pub mode: u32,
    /// Its owner and its group, where these are not the broker's own.
    pub user: Option<u32>,
    pub group: Option<u32>,
}

impl Default for UnixOptions {
    /// The user that the broker runs as, and nobody else.
    fn default() -> UnixOptions {
        UnixOptions { mode: 0o600, user: None, group: None }
    }
}

/// A socket that listens, and its file, which goes with it.
pub struct UnixListener {
    socket: tokio::net::UnixListener,
    path: PathBuf,
    /// Device and number of the file: what has taken its place is not removed.
    file: Option<(u64, u64)>,
}

impl UnixListener {
    /// # Errors
    /// As [`bind`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(path: &Path, options: UnixOptions) -> io::Result<UnixListener> {
        let socket = tokio::net::UnixListener::from_std(bind(path, options)?)?;
        Ok(UnixListener { socket, path: path.to_owned(), file: identity(path) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection.
    ///
    /// # Errors
    /// The operating system's. The next call may succeed.
    pub async fn accept(&self) -> io::Result<Vec<Accepted>> {
        let (socket, _) = self.socket.accept().await?;
        Ok(vec![Accepted { socket: Plain::Unix(socket.into_std()?), address: None }])
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Listens at a path, and takes the place of a socket at which nobody listens any more.
///
/// # Errors
/// The operating system's; also where somebody listens there, and where there is a file that is no socket.
pub fn bind(path: &Path, options: UnixOptions) -> io::Result<StdListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) if is_answered(path) => return Err(ErrorKind::AddrInUse.into()),
        _ => {}
    }
    // Under another name until only those may connect who should.
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = Path::new(&new);
    let socket = StdListener::bind(new)?;
    let placed =
        permit(new, options).and_then(|()| socket.set_nonblocking(true)).and_then(|()| fs::rename(new, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(new);
        return Err(error);
    }
    Ok(socket)
}

/// Has these connect to a socket, and nobody else.
///
/// # Errors
/// The operating system's.
pub fn permit(path: &Path, options: UnixOptions) -> io::Result<()> {
    if options.user.is_some() || options.group.is_some() {
        chown(path, options.user, options.group).map_err(|error| not_given(error, options))?;
    }
    fs::set_permissions(path, Permissions::from_mode(options.mode))
}

/// With what may be done about it.
fn not_given(error: io::Error, UnixOptions { user, group, .. }: UnixOptions) -> io::Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let why = match (user, group) {
        (Some(user), _) => format!(
            "may not give the socket to the user {user}: that takes root, or CAP_CHOWN; `unix-group` may do without"
        ),
        (None, group) => format!(
            "may not give the socket to the group {}: make the broker's user a member of it",
            group.unwrap_or_default()
        ),
    };
    io::Error::new(ErrorKind::PermissionDenied, why)
}

/// Only a refusal says that nobody listens: one whose queue is full does not answer either.
fn is_answered(path: &Path) -> bool {
    !matches!(StdStream::connect(path), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}
