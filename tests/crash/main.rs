//! Nothing that was acknowledged is lost when the broker is killed, and nothing of QoS 2 comes twice.
//!
//! Clients that keep to the specification go on over the broker's crashes; what they saw is written down in one history,
//! and checked when all has come to rest. The random choices follow a seed that is printed and can be given
//! (`CRASH_SEED`); what the threads of the broker make of them does not. `CRASH_ROUNDS` and `CRASH_SECONDS` make a test
//! longer.
#![cfg(all(feature = "daemon", feature = "sqlite"))]

mod broker;
#[cfg(feature = "mysql")]
mod database;
mod director;
#[cfg(unix)]
mod disk;
mod faults;
#[cfg(feature = "mysql")]
#[path = "../support/free_port.rs"]
mod free_port;
mod history;
#[cfg(feature = "mysql")]
#[path = "../support/mariadb.rs"]
mod mariadb;
mod mortal;
#[cfg(unix)]
mod one_fault;
mod publisher;
mod receiver;
#[cfg(feature = "mysql")]
mod relay;
#[cfg(feature = "wasm")]
mod state;
mod torn;
mod wire;
mod world;

use std::sync::Arc;
use std::time::Duration;

use broker::{Folder, Local, Process};
#[cfg(feature = "mysql")]
use database::Shaken;
use director::Plan;
#[cfg(unix)]
use disk::Failing;
use faults::Faulty;
#[cfg(feature = "mysql")]
use mariadb::MariaDb;
use tidegate::storage::memory::MemoryStorage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_broker_whose_storage_hears_nothing_more() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan::from_environment(12, 20);
    let mut broker = Local::on(Arc::new(MemoryStorage::default()));
    let world = director::run(&mut broker, &plan).await;
    world.history.assert_clean(plan.seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_storage_that_fails_in_every_way() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan { life: 100..1500, refuses: true, ..Plan::from_environment(12, 20) };
    let storage = Arc::new(Faulty::new(Arc::new(MemoryStorage::default()), plan.seed));
    let mut broker = Local::on(storage);
    let world = director::run(&mut broker, &plan).await;
    world.history.assert_clean(plan.seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_process_that_is_killed() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan::from_environment(15, 15);
    let folder = Folder::new("killed");
    let world = director::run(&mut Process::on(folder.path()), &plan).await;
    world.history.assert_clean(plan.seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_log_that_was_torn_behind_it() {
    // [MQTT-4.1.0-1], [MQTT-4.6.0-5]
    let plan = Plan { pace: Duration::from_millis(100), ..Plan::from_environment(10, 15) };
    let world = director::cut_power(&plan).await;
    world.history.assert_clean(plan.seed);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_disk_that_fails_and_loses_power() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan { life: 100..900, refuses: true, ..Plan::from_environment(16, 16) };
    let folder = Folder::new("disk");
    let Some(mut broker) = Failing::on(&folder, plan.seed) else { return };
    let world = director::run(&mut broker, &plan).await;
    println!("{}", broker.summary());
    world.history.assert_clean(plan.seed);
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_process_that_is_killed_over_a_database() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan::from_environment(15, 20);
    let Some(server) = MariaDb::start() else { return };
    let folder = Folder::new("killed-database");
    let url = server.url(&server.make_database());
    let world = director::run(&mut Process::on_database(folder.path(), &url), &plan).await;
    world.history.assert_clean(plan.seed);
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_database_that_is_killed_cut_off_and_stopped() {
    // [MQTT-4.1.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5]
    let plan = Plan { refuses: true, ..Plan::from_environment(20, 16) };
    let Some(server) = MariaDb::start() else { return };
    let folder = Folder::new("database");
    let mut broker = Shaken::on(folder.path(), server, plan.seed).await;
    let world = director::run(&mut broker, &plan).await;
    world.history.assert_clean(plan.seed);
}
