//! A client whose process dies, and the next one that goes on with what its store has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tidegate::client::{Store, SubscribeOptions};
use tidegate::server::Server;
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{Change, Durability, OpenedStorage, Storage, StorageError};
use tokio::runtime::Runtime;

use super::road::{self, Road};
use super::*;
use crate::support::{QOS1, QOS2, VERSIONS, start, until};

const MESSAGES: usize = 5;

/// A disk that takes so many batches; the process dies with the next.
struct Dying {
    inner: Arc<MemoryStorage>,
    left: AtomicUsize,
    dead: AtomicBool,
}

impl Dying {
    fn after(inner: &Arc<MemoryStorage>, batches: usize) -> Arc<Dying> {
        let (left, dead) = (AtomicUsize::new(batches), AtomicBool::new(false));
        Arc::new(Dying { inner: inner.clone(), left, dead })
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

impl Storage for Dying {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        if self.left.load(Ordering::SeqCst) == 0 {
            self.dead.store(true, Ordering::SeqCst);
            loop {
                thread::park();
            }
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
        self.inner.commit(changes)
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.inner.load(each)
    }
}

/// A process with a client in it.
struct Process {
    runtime: Runtime,
    disk: Arc<Dying>,
}

impl Process {
    fn start(server: &Server, version: ProtocolVersion, name: &str, disk: Arc<Dying>) -> (Process, Client) {
        let store = Store::new(OpenedStorage::new(disk.clone(), Durability::Always).unwrap());
        // A process that is killed does not tidy up either.
        std::mem::forget(store.clone());
        let road = Road::new(road::to_port(server.addresses()[0].port()), []);
        let mut options = persistent(road, version, name);
        options.store = Some(store);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = Client::new(options).unwrap();
        let inside = runtime.enter();
        client.start();
        drop(inside);
        (Process { runtime, disk }, client)
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Publishes until all is done or the process dies after so many batches. Says how many messages were said to be kept.
async fn publish_and_die(
    server: &Server,
    version: ProtocolVersion,
    disk: &Arc<MemoryStorage>,
    batches: usize,
    name: &str,
) -> (usize, bool) {
    let (process, client) = Process::start(server, version, name, Dying::after(disk, batches));
    let kept = Arc::new(AtomicUsize::new(0));
    let (publishing, count, topic) = (client.clone(), kept.clone(), name.to_owned());
    process.runtime.spawn(async move {
        for number in 0..MESSAGES {
            publishing.enqueue(numbered(&topic, number, QOS2)).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let is_done = || kept.load(Ordering::SeqCst) == MESSAGES && client.queued() == (0, 0);
    until(|| process.disk.is_dead() || is_done()).await;
    let (kept, died) = (kept.load(Ordering::SeqCst), process.disk.is_dead());
    process.kill();
    (kept, died)
}

#[tokio::test]
async fn what_was_kept_is_published_once_after_a_restart_wherever_the_process_died() {
    let server = start().await;
    for version in VERSIONS {
        let mut batches = 0;
        loop {
            let name = format!("publisher-{}-{batches}", version.level());
            let disk = Arc::new(MemoryStorage::default());
            let road = Road::new(road::to_port(server.addresses()[0].port()), []);
            let receiver = started(persistent(road, version, &format!("receiver-of-{name}")));
            let mut received = done(receiver.subscribe((&*name, QOS2))).await;
            let (kept, died) = publish_and_die(&server, version, &disk, batches, &name).await;
            let (process, client) = Process::start(&server, version, &name, Dying::after(&disk, usize::MAX));
            let last = numbered(&name, 100, QOS2);
            done(client.publish(last)).await;
            receives(&mut received, 0..kept).await;
            // One more may have been kept without that having been said.
            let next = within(received.next()).await.unwrap();
            if text(&next) != "100" {
                assert_eq!(text(&next), kept.to_string());
                receives(&mut received, [100]).await;
            }
            process.kill();
            done(receiver.disconnect()).await;
            if !died {
                break;
            }
            batches += 1;
        }
        assert!(batches > 3, "it died too seldom: {batches}");
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_by_hand_comes_again_after_a_restart_and_nothing_else_does() {
    // [MQTT-4.3.3-10]
    let server = start().await;
    let address = server.addresses()[0];
    let publisher = Options::new(address.ip().to_string(), address.port(), "publisher");
    let publisher = done(tidegate::client::connect(publisher)).await;
    let mut batches = 1;
    loop {
        let name = format!("receiver-{batches}");
        let disk = Arc::new(MemoryStorage::default());
        let mut options = SubscribeOptions::from((&*name, QOS2));
        options.acknowledge_by_hand = true;
        let (process, client) = Process::start(&server, V5, &name, Dying::after(&disk, batches));
        until(|| disk_has_all(&process, &client)).await;
        let mut subscription = done(client.subscribe(options.clone())).await;
        for number in 0..MESSAGES {
            done(publisher.publish(numbered(&name, number, QOS2))).await;
        }
        // It dies between any two of these, or after them.
        for number in 0..MESSAGES {
            let mut message = within(subscription.next()).await.unwrap();
            assert_eq!(text(&message), number.to_string());
            message.acknowledge();
        }
        let topic = name.clone();
        done(publisher.publish(numbered(&topic, MESSAGES, QOS1))).await;
        within(subscription.next()).await.unwrap().acknowledge();
        until(|| disk_has_all(&process, &client)).await;
        let died = process.disk.is_dead();
        process.kill();
        let (process, client) = Process::start(&server, V5, &name, Dying::after(&disk, usize::MAX));
        let mut messages = client.messages();
        let mut subscription = done(client.subscribe(options)).await;
        done(publisher.publish(numbered(&name, 100, QOS2))).await;
        let mut seen = Vec::new();
        while seen.last() != Some(&100) {
            let mut message = within(async {
                tokio::select! {
                    message = subscription.next() => message,
                    message = messages.next() => message,
                }
            })
            .await
            .unwrap();
            message.acknowledge();
            seen.push(text(&message).parse::<usize>().unwrap());
        }
        // A rest of them, in their order, if any: those whose PUBREC was not written.
        let rest = &seen[..seen.len() - 1];
        let expected: Vec<usize> = (0..=MESSAGES).skip(MESSAGES + 1 - rest.len()).collect();
        assert!(rest == expected, "after {batches}: {seen:?}");
        process.kill();
        if !died {
            break;
        }
        batches += 1;
    }
    assert!(batches > 1, "it never died");
}

/// Nothing is to be kept any more, or nothing can.
fn disk_has_all(process: &Process, client: &Client) -> bool {
    process.disk.is_dead() || client.store_is_idle()
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_folder_keeps_what_is_queued() {
    let server = start().await;
    let folder =
        std::env::temp_dir().join(format!("tidegate-client-{}-{}", std::process::id(), fastrand::u64(..)));
    let options = || {
        let road = Road::new(road::to_port(server.addresses()[0].port()), []);
        let mut options = persistent(road, V5, "device");
        options.store = Some(Store::open(&folder).unwrap());
        options
    };
    // It is never started, so that nothing is sent.
    let client = Client::new(options()).unwrap();
    for number in 0..MESSAGES {
        done(client.enqueue(numbered("folder", number, QOS1))).await;
    }
    drop(client);
    let receiver = Road::new(road::to_port(server.addresses()[0].port()), []);
    let receiver = started(persistent(receiver, V5, "receiver"));
    let mut received = done(receiver.subscribe(("folder", QOS1))).await;
    let client = started(options());
    receives(&mut received, 0..MESSAGES).await;
    done(client.disconnect()).await;
    drop(client);
    std::fs::remove_dir_all(&folder).unwrap();
}
