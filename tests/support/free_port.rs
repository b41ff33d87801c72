//! Ports for servers that cannot be asked which one they got.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the system gives to clients and to who asks for any port: nobody takes it by chance until it is
/// used. Tests that run side by side are of different processes, and begin elsewhere.
pub fn free_port() -> u16 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (process::id().wrapping_mul(31).wrapping_add(number) % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
