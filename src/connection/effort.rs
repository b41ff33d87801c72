//! What a connection's turn has cost its thread, about: the server has those wait whose turns are long, and not those
//! beside them (see `server/connections`).

use std::cell::Cell;

/// Bytes read and written in a turn from which on it is a long one. To write as many takes some ten microseconds.
const MUCH: usize = 16 * 1024;

thread_local! {
    static MOVED: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that were read or written.
pub(super) fn moved(bytes: usize) {
    MOVED.set(MOVED.get().saturating_add(bytes));
}

/// A turn that did not come to its end, as others are to have theirs, is a long one whatever was moved.
pub(super) fn was_interrupted() {
    moved(MUCH);
}

/// Whether what this thread did since it was asked last was much.
pub fn take_much() -> bool {
    MOVED.take() >= MUCH
}
