//! The listeners of a server, which may come and go while it runs.

#[cfg(feature = "tls")]
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::listener::{self, Serving, TURNED_AWAY};
use super::options::ListenerOptions;
use super::workers::Spawner;
use super::{ListenerStatus, StartError};
#[cfg(feature = "tls")]
use crate::broker::Count;
use crate::broker::{Broker, guard};
use crate::transport::{Door, Listener};
#[cfg(unix)]
use crate::transport::{ListenAddress, unix};

/// The listeners of a server.
pub struct Listeners {
    broker: Arc<Broker>,
    spawner: Spawner,
    /// In the order in which they were added.
    listening: Mutex<Vec<Listening>>,
    /// Those that there have been.
    numbered: AtomicU64,
    /// Guards why the files of a listener, by its name, are not what it uses; held while they are read.
    #[cfg(feature = "tls")]
    pub(super) unusable: Mutex<HashMap<String, String>>,
}

/// One that accepts.
struct Listening {
    /// What it is known by: names may change, and go over from one to another.
    number: u64,
    options: ListenerOptions,
    status: ListenerStatus,
    serving: Arc<ArcSwap<Serving>>,
    accepting: JoinHandle<()>,
}

/// One that is bound and accepts nothing yet.
pub(super) struct Bound {
    options: ListenerOptions,
    socket: Listener,
    door: Arc<Door>,
}

/// Listeners that are ready to take the place of those that there are.
#[derive(Default)]
pub struct NewListeners {
    /// Numbers of those that stay as they are.
    kept: Vec<u64>,
    /// Those whose socket stays, by their numbers.
    changed: Vec<(u64, Arc<Door>, ListenerOptions)>,
    added: Vec<Bound>,
}

/// What became of the listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerChanges {
    pub added: Vec<ListenerStatus>,
    /// Their sockets and connections stay, what comes is served by other options.
    pub changed: Vec<ListenerStatus>,
    /// Their connections stay.
    pub removed: Vec<ListenerStatus>,
}

impl Bound {
    pub(super) fn new(options: ListenerOptions) -> Result<Bound, StartError> {
        let door = door(&options, None)?;
        let socket = Listener::bind(&options.address, &options.transport).map_err(|source| {
            StartError::Listen { name: options.name.clone(), address: options.address.clone(), source }
        })?;
        Ok(Bound { options, socket, door })
    }
}

impl Listening {
    /// Its socket is closed once this is done. To be called where it is to accept nothing more.
    async fn close(self) -> ListenerStatus {
        // It has either ended by itself or been ended.
        let _ = self.accepting.await;
        self.status
    }
}

/// Its file stays where its socket does, and may be for others now.
#[cfg(unix)]
fn permit(before: &ListenerOptions, options: &ListenerOptions) {
    let ListenAddress::Unix(path) = &options.address else { return };
    let unix = options.transport.unix;
    if unix != before.transport.unix
        && let Err(error) = unix::permit(path, unix)
    {
        tracing::error!(listener = %options.name, %error, "could not change who may connect to the socket");
    }
}

fn door(options: &ListenerOptions, before: Option<&Door>) -> Result<Arc<Door>, StartError> {
    let not_opened = |source| StartError::Transport { name: options.name.clone(), source };
    Door::in_place_of(&options.transport, before).map(Arc::new).map_err(not_opened)
}

impl Listeners {
    pub(super) fn new(broker: Arc<Broker>, spawner: Spawner) -> Listeners {
        Listeners {
            broker,
            spawner,
            listening: Mutex::default(),
            numbered: AtomicU64::new(0),
            #[cfg(feature = "tls")]
            unusable: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> Vec<ListenerStatus> {
        self.locked().iter().map(|listening| listening.status.clone()).collect()
    }

    pub(super) fn add(&self, bound: Bound) -> Result<ListenerStatus, StartError> {
        let Bound { options, socket, door } = bound;
        let mut all = self.locked();
        if all.iter().any(|other| other.options.name == options.name) {
            return Err(StartError::NameTaken(options.name));
        }
        let status = ListenerStatus { name: options.name.clone(), address: socket.address() };
        #[cfg(feature = "tls")]
        super::certificates::announce(&options.name, &door);
        let guarded = Arc::new(guard::Door::new(self.broker.guard().clone(), options.limits.clone()));
        let serving = Arc::new(ArcSwap::from_pointee(self.serving(&options, door, guarded)));
        let accepting = tokio::spawn(listener::accept(socket, serving.clone()));
        let number = self.numbered.fetch_add(1, Ordering::Relaxed);
        all.push(Listening { number, options, status: status.clone(), serving, accepting });
        Ok(status)
    }

    /// What comes by this listener from now on is served as these options say. False where none has that name and
    /// address: its socket stays as it is.
    pub(super) fn change(&self, options: &ListenerOptions) -> Result<bool, StartError> {
        let door = door(options, None)?;
        let mut all = self.locked();
        let is_it =
            |it: &&mut Listening| it.options.name == options.name && it.options.address == options.address;
        let listening = all.iter_mut().find(is_it);
        Ok(listening.map(|it| self.set(it, door, options.clone())).is_some())
    }

    /// Exchanges what serves the sockets of a listener.
    fn set(&self, listening: &mut Listening, door: Arc<Door>, options: ListenerOptions) -> ListenerStatus {
        #[cfg(feature = "tls")]
        super::certificates::announce(&options.name, &door);
        #[cfg(unix)]
        permit(&listening.options, &options);
        // Those who came in before still count.
        let guarded = listening.serving.load().guarded.clone();
        guarded.set_limits(options.limits.clone());
        listening.serving.store(Arc::new(self.serving(&options, door, guarded)));
        listening.status.name.clone_from(&options.name);
        listening.options = options;
        listening.status.clone()
    }

    /// Looks whether these could be the listeners, binds those that are new, and changes nothing yet.
    pub(super) fn prepare(&self, wanted: Vec<ListenerOptions>) -> Result<NewListeners, StartError> {
        let mut names = HashSet::new();
        if let Some(twice) = wanted.iter().find(|options| !names.insert(options.name.clone())) {
            return Err(StartError::NameTaken(twice.name.clone()));
        }
        let known = |it: &Listening| (it.number, it.options.clone(), it.serving.load().door.clone());
        let mut open: Vec<(u64, ListenerOptions, Arc<Door>)> = self.locked().iter().map(known).collect();
        let mut prepared = NewListeners::default();
        for options in wanted {
            // Each is one of those wanted only: a second at its address finds that taken.
            match open.iter().position(|(_, it, _)| it.is_at(&options)).map(|place| open.swap_remove(place)) {
                None => prepared.added.push(Bound::new(options)?),
                Some((number, before, _)) if before == options => prepared.kept.push(number),
                Some((number, _, before)) => {
                    let door = door(&options, Some(&before))?;
                    prepared.changed.push((number, door, options));
                }
            }
        }
        Ok(prepared)
    }

    /// Makes them the listeners.
    pub(super) async fn take(&self, new: NewListeners) -> Result<ListenerChanges, StartError> {
        let NewListeners { kept, changed, added } = new;
        let mut changes = ListenerChanges::default();
        let stays =
            |it: &Listening| kept.contains(&it.number) || changed.iter().any(|(n, ..)| *n == it.number);
        let gone = self.take_out(|it| !stays(it));
        for listening in gone {
            changes.removed.push(listening.close().await);
        }
        changes.changed = self.set_all(changed);
        for bound in added {
            changes.added.push(self.add(bound)?);
        }
        Ok(changes)
    }

    /// Together, as a name may go over from one to another.
    fn set_all(&self, changed: Vec<(u64, Arc<Door>, ListenerOptions)>) -> Vec<ListenerStatus> {
        let mut all = self.locked();
        let set = |(number, door, options)| {
            let listening = all.iter_mut().find(|it| it.number == number)?;
            Some(self.set(listening, door, options))
        };
        changed.into_iter().filter_map(set).collect()
    }

    /// Its socket is closed once this is done; connections stay.
    pub(super) async fn remove(&self, name: &str) -> bool {
        let removed = self.take_out(|it| it.options.name == name);
        let was_there = !removed.is_empty();
        for listening in removed {
            listening.close().await;
        }
        was_there
    }

    /// They accept nothing more, whether or not they are waited for.
    fn take_out(&self, is_one: impl Fn(&Listening) -> bool) -> Vec<Listening> {
        let gone: Vec<Listening> = self.locked().extract_if(.., |it| is_one(it)).collect();
        gone.iter().for_each(|listening| listening.accepting.abort());
        gone
    }

    pub(super) fn stop(&self) {
        self.locked().iter().for_each(|listening| listening.accepting.abort());
    }

    fn serving(&self, options: &ListenerOptions, door: Arc<Door>, guarded: Arc<guard::Door>) -> Serving {
        let policy = Arc::new(options.policy());
        self.broker.guard().introduce(&policy, &guarded);
        Serving {
            policy,
            door,
            guarded,
            broker: self.broker.clone(),
            spawner: self.spawner.clone(),
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY)),
        }
    }

    /// What lies on their sockets, by their names.
    #[cfg(feature = "tls")]
    pub(super) fn doors(&self) -> Vec<(String, Arc<Door>)> {
        let of_one = |it: &Listening| (it.options.name.clone(), it.serving.load().door.clone());
        self.locked().iter().map(of_one).collect()
    }

    #[cfg(feature = "tls")]
    pub(super) fn count(&self, what: Count) {
        self.broker.counters().count(what);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
