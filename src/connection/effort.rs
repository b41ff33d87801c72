//! What a connection's turn has cost its thread, about: the server has those wait whose turns are long, and not those
//! beside them (see `server/connections`).

use std::cell::Cell;

use super::thread;

/// What counts for a turn that did not come to its end, as others are to have theirs, whatever was moved.
const INTERRUPTED: usize = 64 * 1024;

thread_local! {
    static MOVED: Cell<usize> = const { Cell::new(0) };
    static WAS_INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

/// Counts bytes that were read or written.
pub(super) fn moved(bytes: usize) {
    MOVED.set(MOVED.get().saturating_add(bytes));
}

pub(super) fn was_interrupted() {
    WAS_INTERRUPTED.set(true);
}

/// How many bytes this thread has read and written since it was asked last, more where a turn was interrupted. The thread
/// counts them.
pub fn take_effort() -> usize {
    let moved = MOVED.take();
    if moved > 0 {
        thread::has_moved(moved);
    }
    if WAS_INTERRUPTED.take() { moved.saturating_add(INTERRUPTED) } else { moved }
}
