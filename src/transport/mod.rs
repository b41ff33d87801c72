//! Byte streams that clients come through: TCP and Unix sockets, and what may lie on them: a PROXY header, TLS,
//! WebSocket. The one place for socket options.
//!
//! A listener here is bound and gives accepted sockets; [`Door::open`] makes a [`Stream`] of one, which takes its
//! handshakes. Who serves it, on which thread, and how many there may be is the server's business.

mod address;
#[cfg(any(feature = "client", feature = "websocket"))]
pub mod answer;
mod door;
mod listener;
pub mod proxy;
mod socket;
mod stream;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(unix)]
pub mod unix;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use address::{InvalidAddress, ListenAddress};
pub use door::{Door, DoorError, DoorFault, TransportOptions};
pub use listener::Listener;
pub use socket::{Accepted, Plain, Socket};
pub use stream::Stream;
