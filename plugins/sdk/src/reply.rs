//! What the acknowledgement of the current packet carries beside the Reason Code (MQTT 5.0), and the end
//! of the connection.

use crate::{ReasonCode, host};

pub fn reason_string(text: &str) {
    host::reply::reason_string(text);
}

pub fn user_property(name: &str, value: &str) {
    host::reply::user_property(name, value);
}

/// Another server to use: CONNACK and DISCONNECT with 0x9C or 0x9D.
pub fn server_reference(server: &str) {
    host::reply::server_reference(server);
}

/// After the verdict is carried out, DISCONNECT with this Reason Code.
pub fn close(reason: ReasonCode) {
    host::reply::close(reason);
}

/// The same functions as a chain behind a verdict: `PublishVerdict::Reject(code).reason_string("why")`.
/// They tell the broker at once, whatever becomes of the value.
pub trait Reply: Sized {
    fn reason_string(self, text: &str) -> Self {
        reason_string(text);
        self
    }

    fn user_property(self, name: &str, value: &str) -> Self {
        user_property(name, value);
        self
    }

    fn server_reference(self, server: &str) -> Self {
        server_reference(server);
        self
    }

    fn close(self, reason: ReasonCode) -> Self {
        close(reason);
        self
    }
}
