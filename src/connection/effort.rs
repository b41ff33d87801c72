//! What a connection's turn has cost its thread, about: the server has those wait whose turns are long, and not those
//! beside them (see `server/connections`).

use std::cell::Cell;

/// What counts for a turn that did not come to its end, as others are to have theirs, whatever was moved.
const INTERRUPTED: usize = 64 * 1024;

thread_local! {
    static MOVED: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that were read or written.
pub(super) fn moved(bytes: usize) {
    MOVED.set(MOVED.get().saturating_add(bytes));
}

pub(super) fn was_interrupted() {
    moved(INTERRUPTED);
}

/// How many bytes this thread has read and written since it was asked last.
pub fn take_effort() -> usize {
    MOVED.take()
}
