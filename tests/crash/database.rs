//! A broker whose database, and the way there, fail as much as it does itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use mysql::prelude::Queryable;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::broker::{Broker, Process, signal};
use crate::mariadb::MariaDb;
use crate::relay::Relay;

/// What it calls a crash is a crash of the broker, of the database or of both, or something that happens to the way
/// between them.
pub struct Shaken {
    process: Process,
    server: MariaDb,
    relay: Relay,
    rng: Rng,
    /// While it runs.
    port: Option<u16>,
}

impl Shaken {
    pub async fn on(folder: &Path, server: MariaDb, seed: u64) -> Shaken {
        let relay = Relay::to(server.port()).await;
        let (ours, theirs) = (server.port().to_string(), relay.port().to_string());
        let url = server.url(&server.make_database()).replace(&ours, &theirs);
        let process = Process::on_database(folder, &url);
        Shaken { process, server, relay, rng: Rng::with_seed(seed), port: None }
    }

    async fn kill_broker(&mut self) {
        self.process.crash().await;
        self.port = None;
    }

    async fn kill_database(&mut self) {
        block_in_place(|| self.server.kill());
        sleep(Duration::from_millis(self.rng.u64(0..400))).await;
        block_in_place(|| self.server.start_again());
    }

    /// The server ends the connections of its own accord.
    fn kill_connections(&self) {
        block_in_place(|| {
            let mut root = self.server.root();
            let ids = "SELECT id FROM information_schema.processlist WHERE user = 'tide'";
            let ids: Vec<u64> = root.query(ids).unwrap();
            // One that ends by itself meanwhile is no fault.
            ids.iter().for_each(|id| drop(root.query_drop(format!("KILL CONNECTION {id}"))));
        });
    }

    /// It neither answers nor ends.
    async fn stop_database(&mut self) {
        let pid = block_in_place(|| {
            let file: String = self.server.root().query_first("SELECT @@pid_file").unwrap().unwrap();
            fs::read_to_string(file).unwrap().trim().to_owned()
        });
        signal("STOP", &pid).await;
        sleep(Duration::from_millis(self.rng.u64(10..800))).await;
        signal("CONT", &pid).await;
    }
}

impl Broker for Shaken {
    async fn start(&mut self) -> u16 {
        if self.port.is_none() {
            self.port = Some(self.process.start().await);
        }
        self.port.unwrap()
    }

    async fn crash(&mut self) {
        // What the database has lost without a word shows when the broker is killed.
        match self.rng.u32(0..14) {
            0..5 => self.kill_broker().await,
            5 | 6 => self.kill_database().await,
            7 => {
                self.kill_broker().await;
                self.kill_database().await;
            }
            8 => self.relay.cut(),
            9..12 => {
                let after = Duration::from_millis(self.rng.u64(0..60));
                self.relay.cut_behind_the_server(after).await;
            }
            12 => self.kill_connections(),
            _ => self.stop_database().await,
        }
    }

    async fn stop(&mut self) {
        self.process.stop().await;
        self.port = None;
    }
}
