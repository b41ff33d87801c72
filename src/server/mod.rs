//! A broker that listens: puts listeners, worker threads, hooks and broker together.
//!
//! ```
//! # async fn example() -> Result<(), tidegate::server::StartError> {
//! use tidegate::server::{ListenerOptions, Server};
//!
//! let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
//! println!("listening on {}", server.addresses()[0]);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod balance;
#[cfg(feature = "tls")]
mod certificates;
mod connections;
mod counted;
mod listener;
mod listeners;
mod options;
mod requests;
#[cfg(all(test, feature = "client"))]
mod tests;
mod workers;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::broker::{AuthorizationCache, Broker, ClientStatus, Options, Published, Statistics};
use crate::cluster::standalone::Standalone;
use crate::hook::{Directory, Hooks, NoHooks, Requests, What};
use crate::message::ApplicationMessage;
use crate::packet::ReasonCode;
use crate::storage::OpenedStorage;
use crate::transport::{DoorFault, ListenAddress};
#[cfg(feature = "tls")]
pub use certificates::ListenerCertificate;
use listeners::Bound;
pub use listeners::{ListenerChanges, Listeners, NewListeners};
pub use options::ListenerOptions;
use workers::{Balanced, Workers};

/// How long clients get to take their DISCONNECT at shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// Between two attempts at what a hook panicked over.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// A running broker. Dropping it ends every connection at once; [`shutdown`](Server::shutdown) says
/// farewell first.
pub struct Server {
    broker: Arc<Broker>,
    listeners: Arc<Listeners>,
    workers: Workers,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listen on {address} (listener `{name}`): {}", explain(.source))]
    Listen { name: String, address: ListenAddress, source: std::io::Error },
    #[error("open the listener `{name}`: {source}")]
    Transport { name: String, source: DoorFault },
    #[error("open a second listener named `{0}`")]
    NameTaken(String),
    #[error("start a worker thread: {0}")]
    Worker(std::io::Error),
}

/// A listener that accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    pub name: String,
    /// With the port that was taken.
    pub address: ListenAddress,
}

/// What a [`Server`] is made of.
pub struct Builder {
    options: Options,
    listeners: Vec<ListenerOptions>,
    hooks: Arc<dyn Hooks>,
    requests: Option<Requests>,
    storage: Option<OpenedStorage>,
    workers: usize,
    balanced: Balanced,
}

impl Server {
    pub fn builder() -> Builder {
        Builder {
            options: Options::default(),
            listeners: Vec::new(),
            hooks: Arc::new(NoHooks),
            requests: None,
            storage: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            balanced: Balanced::Yes,
        }
    }

    /// Where it listens, in the order of the listeners, without those that are in the file system.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners().iter().filter_map(|listener| listener.address.tcp()).collect()
    }

    /// The listeners that there are now, in the order in which they were added.
    pub fn listeners(&self) -> Vec<ListenerStatus> {
        self.listeners.status()
    }

    /// The listeners as something to be held by others, for as long as they like.
    pub fn doors(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    /// Reads certificates, keys, authorities and lists of what is revoked again, of all listeners. New handshakes use
    /// what is in them; where one cannot be used, its listener goes on with all that it had, which is logged and
    /// counted.
    #[cfg(feature = "tls")]
    pub fn reload_certificates(&self) {
        self.listeners.reload_certificates();
    }

    /// Opens one more.
    ///
    /// # Errors
    /// Where it cannot be bound, where files that it needs cannot be used, and where there is one of its name.
    pub async fn add_listener(&self, options: ListenerOptions) -> Result<ListenerStatus, StartError> {
        self.listeners.add(Bound::new(options)?)
    }

    /// Has a listener that is open serve what comes from now on by other options; its socket and its connections stay
    /// as they are. False where no listener has that name and address.
    ///
    /// # Errors
    /// Where files that the options name cannot be used; nothing has changed then.
    pub fn change_listener(&self, options: &ListenerOptions) -> Result<bool, StartError> {
        self.listeners.change(options)
    }

    /// Closes one; its address is free then. Its connections stay. False where there is none of that name.
    pub async fn remove_listener(&self, name: &str) -> bool {
        self.listeners.remove(name).await
    }

    /// Looks whether these could be the listeners from now on: files that they need are read, but for those that the
    /// listener at the same address has read before, and those at addresses where nobody listens yet are bound. Nothing changes until they are [taken](Server::take_listeners).
    ///
    /// # Errors
    /// Where one cannot be bound, where files that it needs cannot be used, and where two have one name.
    pub fn prepare_listeners(&self, wanted: Vec<ListenerOptions>) -> Result<NewListeners, StartError> {
        self.listeners.prepare(wanted)
    }

    /// Makes them the listeners. Connections stay, also those of listeners that are closed; a listener whose address
    /// stays, by whatever name, misses no client.
    ///
    /// # Errors
    /// Where one of their names was given to another listener meanwhile.
    pub async fn take_listeners(&self, new: NewListeners) -> Result<ListenerChanges, StartError> {
        self.listeners.take(new).await
    }

    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Publishes a message through the same pipeline as a client's; hooks see it as injected.
    pub async fn publish(&self, message: ApplicationMessage) -> Published {
        self.broker.publish(None, message, &mut AuthorizationCache::default()).await
    }

    /// Ends a client's connection. Says whether there is one.
    pub fn disconnect(&self, client_identifier: &str, reason: ReasonCode) -> bool {
        self.broker.disconnect(client_identifier, reason)
    }

    /// All sessions, connected or not.
    pub fn clients(&self) -> Vec<ClientStatus> {
        self.broker.clients()
    }

    /// What was counted since the start, and how much there is now.
    pub fn statistics(&self) -> Statistics {
        self.broker.statistics()
    }

    /// Stops listening, tells every client (MQTT 5.0: DISCONNECT 0x8B), publishes Wills, and waits up to
    /// five seconds for clients to take the news.
    pub async fn shutdown(mut self) {
        self.listeners.stop();
        self.broker.end_all_connections();
        let deadline = Instant::now() + DRAIN;
        while self.broker.guard().connections() > 0 && Instant::now() < deadline {
            // A client that was just being let in gets its turn too.
            self.broker.end_all_connections();
            sleep_until(Instant::now() + Duration::from_millis(10)).await;
        }
        let _ = timeout_at(deadline, self.broker.publish_waiting_wills()).await;
        self.broker.event(|| What::Stopped);
        self.workers.stop();
        let broker = self.broker.clone();
        let joined = tokio::task::spawn_blocking(move || {
            self.workers.join();
            broker.finish_keeping();
        });
        let _ = timeout_at(deadline + DRAIN, joined).await;
    }
}

impl Builder {
    pub fn options(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: ListenerOptions) -> Builder {
        self.listeners.push(listener);
        self
    }

    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Builder {
        self.hooks = hooks;
        self
    }

    /// What the hooks ask of the broker: see [`requests`](crate::hook::requests).
    pub fn requests(mut self, requests: Requests) -> Builder {
        self.requests = Some(requests);
        self
    }

    /// Where sessions, retained messages and what waits outlive the process. Default: nowhere.
    pub fn storage(mut self, storage: OpenedStorage) -> Builder {
        self.storage = Some(storage);
        self
    }

    /// Threads that serve connections. Default: as many as there are cores.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers.max(1);
        self
    }

    /// Binds every listener, then starts to serve: where one cannot be bound, nothing is started.
    ///
    /// # Errors
    /// Where a listener cannot be bound, or a thread cannot be started.
    pub async fn start(self) -> Result<Server, StartError> {
        let mut names = HashSet::new();
        if let Some(twice) = self.listeners.iter().find(|options| !names.insert(&options.name)) {
            return Err(StartError::NameTaken(twice.name.clone()));
        }
        let bound: Vec<Bound> = self.listeners.into_iter().map(Bound::new).collect::<Result<_, _>>()?;
        let broker = Broker::new(self.options, self.hooks, self.storage, Arc::new(Standalone));
        let workers = Workers::start(self.workers, self.balanced).map_err(StartError::Worker)?;
        workers.spawn(keep_house(broker.clone()));
        workers.spawn(publish_system_topics(broker.clone()));
        if let Some(requests) = self.requests {
            let directory: Weak<dyn Directory> = Arc::<Broker>::downgrade(&broker);
            requests.answer_from(directory);
            workers.spawn(requests::carry_out(requests, broker.clone()));
        }
        broker.event(|| What::Started);
        let listeners = Arc::new(Listeners::new(broker.clone(), workers.spawner()));
        bound.into_iter().try_for_each(|bound| listeners.add(bound).map(|_| ()))?;
        #[cfg(feature = "tls")]
        {
            let listeners = listeners.clone();
            workers.spawn(async move { listeners.watch_ends().await });
        }
        Ok(Server { broker, listeners, workers })
    }
}

/// Keeps house for as long as it is polled, also after a hook that panicked.
async fn keep_house(broker: Arc<Broker>) {
    loop {
        let house = broker.clone();
        match tokio::spawn(async move { house.keep_house().await }).await {
            Err(error) if error.is_panic() => tracing::error!(%error, "a hook panicked; a Will is lost"),
            _ => return,
        }
    }
}

/// Publishes `$SYS` for as long as it is polled, also after a hook that panicked.
async fn publish_system_topics(broker: Arc<Broker>) {
    loop {
        let publisher = broker.clone();
        match tokio::spawn(async move { publisher.publish_system_topics().await }).await {
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "a hook panicked; the averages below `$SYS` begin again");
                // It would panic again at once, and for ever.
                sleep(broker.options().sys_interval.max(LEAST_PAUSE)).await;
            }
            _ => return,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listeners.stop();
        self.workers.stop();
    }
}

fn explain(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another process listens there, or, at a reload, a listener that is to go: stop it, or choose another port"
        }
        ErrorKind::PermissionDenied => {
            "; ports below 1024 need a permission (root, or CAP_NET_BIND_SERVICE): choose a higher port"
        }
        ErrorKind::AddrNotAvailable => "; no network interface of this machine has that address",
        _ => "",
    };
    format!("{error}{advice}")
}
