//! Byte streams that clients come through. The one place for socket options.
//!
//! A listener here is bound and gives accepted sockets; who serves them, and on which thread, is the
//! server's business.

pub mod tcp;
