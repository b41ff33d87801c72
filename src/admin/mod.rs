//! The admin port: what the broker and its plugins did, over HTTP, for monitoring and for `tidegate plugin list`.
//!
//! | path | |
//! |---|---|
//! | `GET /metrics` | all figures, in Prometheus' text format |
//! | `GET /plugins` | plugins with their hooks, as JSON |
//! | `GET /bans` | who is shut out, as JSON |
//! | `DELETE /bans/{address or name}` | lets them in again; says how many bans that were |
//! | `GET /healthz` | whether the broker answers; needs no token |
//!
//! But for bans it only reads. It takes one request per connection, and runs on a thread of its own with a limit for everything: whoever
//! asks too much or too slowly holds up others who ask, and no client of the broker. It has no TLS: beyond one's own
//! machine it belongs behind something that has.

mod address;
#[cfg(feature = "bridge")]
mod bridge_metrics;
mod broker_metrics;
mod exposition;
pub mod fetch;
mod http;
#[cfg(feature = "wasm")]
mod plugin_json;
#[cfg(feature = "wasm")]
mod plugin_metrics;
mod port;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

pub use self::address::{AdminAddress, InvalidAddress};
use self::exposition::Exposition;
use self::port::Listener;
#[cfg(feature = "bridge")]
use crate::bridge::Bridges;
use crate::broker::Broker;
use crate::broker::guard::{Ban, BanCause};
#[cfg(feature = "wasm")]
use crate::plugin::PluginHost;
use crate::server::Listeners;

/// Bans that are shown, those that last longest first.
const MOST_BANS: usize = 10_000;

/// Where the port is, and who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminOptions {
    pub listen: AdminAddress,
    /// Whoever asks has to send it, as `Authorization: Bearer …`. Without one, everybody who reaches the port may ask.
    pub token: Option<String>,
}

/// Where the figures come from.
#[derive(Clone)]
pub struct Figures {
    pub broker: Arc<Broker>,
    /// Whose certificates are shown.
    pub listeners: Option<Arc<Listeners>>,
    #[cfg(feature = "bridge")]
    pub bridges: Option<Arc<Bridges>>,
    #[cfg(feature = "wasm")]
    pub plugins: Option<Arc<PluginHost>>,
}

impl Figures {
    fn metrics(&self) -> String {
        let mut exposition = Exposition::default();
        broker_metrics::write(&self.broker.statistics(), &mut exposition);
        #[cfg(feature = "tls")]
        if let Some(listeners) = &self.listeners {
            broker_metrics::write_certificates(&listeners.certificates(), &mut exposition);
        }
        #[cfg(feature = "bridge")]
        if let Some(bridges) = &self.bridges {
            bridge_metrics::write(&bridges.status(), &mut exposition);
        }
        #[cfg(feature = "wasm")]
        if let Some(host) = &self.plugins {
            plugin_metrics::write(&host.status(), host.dropped_events(), &mut exposition);
        }
        exposition.finish()
    }

    /// Who is shut out: an address, or a name at an address.
    fn bans(&self) -> String {
        let bans: Vec<_> = self.broker.guard().bans().iter().take(MOST_BANS).map(ban).collect();
        serde_json::json!({ "bans": bans }).to_string()
    }

    /// Lets an address, or a name wherever it is, in again.
    fn lift_bans(&self, whom: &str) -> String {
        let guard = self.broker.guard();
        // As ranges of IPv6 are shown.
        let address = whom.strip_suffix("/64").unwrap_or(whom).parse();
        let lifted = address.map_or(0, |address| guard.lift_bans(address)) + guard.lift_bans_of(whom);
        tracing::info!(whom = ?whom, lifted, "bans were lifted through the admin port");
        serde_json::json!({ "lifted": lifted }).to_string()
    }

    fn plugins(&self) -> String {
        #[cfg(feature = "wasm")]
        if let Some(host) = &self.plugins {
            return plugin_json::render(&host.status(), host.dropped_events());
        }
        serde_json::json!({ "plugins": [], "dropped_events": 0 }).to_string()
    }
}

/// One of the guards' bans.
fn ban(ban: &Ban) -> serde_json::Value {
    let cause = match ban.cause {
        BanCause::FailedLogins => "failed-logins",
        BanCause::Flapping => "flapping",
    };
    serde_json::json!({
        "address": ban.source.to_string(),
        "name": ban.name,
        "cause": cause,
        "left_seconds": ban.left.as_secs(),
    })
}

#[cfg(feature = "wasm")]
fn seconds_since_1970(time: std::time::SystemTime) -> f64 {
    time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The port, open until this is dropped.
pub struct Admin {
    address: AdminAddress,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens, and answers from a thread of its own.
    ///
    /// # Errors
    /// The operating system's: the address is in use, there is no permission for it, no thread can be had.
    pub fn start(options: AdminOptions, figures: Figures) -> io::Result<Admin> {
        let (listener, address) = Listener::bind(&options.listen)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = port::serve(listener, figures, options.token) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Admin { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens; port 0 has become the one that it got.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it was logged when it happened.
            let _ = thread.join();
        }
        #[cfg(unix)]
        if let AdminAddress::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}
