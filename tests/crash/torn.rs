//! What a power cut leaves of a data folder: the files as they were at one moment, of which the end that was written after
//! the last sync is torn.
//!
//! The process is stopped, its files are copied, and it goes on; a little later it is stopped and copied again. What was
//! acknowledged by the first stop had been synced by then, and lies in what both copies have in common. Of the rest of the
//! second log a power cut may leave anything: it is cut off at any byte, has bytes turned over, or zeros in their
//! place. A broker that starts on that must have all that was acknowledged by the first stop. What is not shown: that a
//! sync reaches the disk, and that of a database into which the log was being carried over when the power went.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Ack, Connect, Packet, ProtocolVersion, QoS, ReasonCode};
use tokio::time::sleep;

use crate::broker::{Broker, Folder, Process};
use crate::history::Key;
use crate::wire::{Broken, Wire};
use crate::world::World;

/// What is in a data folder: the database, and its log.
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

const DATABASE: &str = "tidegate.db";
const LOG: &str = "tidegate.db-wal";
/// The header of the log changes with each beginning of it (SQLite's file format, 4.1).
const LOG_HEADER: usize = 32;

impl Files {
    fn read(folder: &Path) -> Files {
        let read = |name| fs::read(folder.join(name)).unwrap_or_default();
        Files { database: read(DATABASE), log: read(LOG) }
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join(DATABASE), &self.database).unwrap();
        fs::write(folder.join(LOG), &self.log).unwrap();
    }

    /// Where the log goes on from that of `before`; None where it was carried over or begun anew meanwhile.
    fn goes_on_at(&self, before: &Files) -> Option<usize> {
        let begins = |files: &Files| files.log.get(..LOG_HEADER).map(<[u8]>::to_vec);
        let is_same =
            self.database == before.database && begins(self) == begins(before) && begins(self).is_some();
        let common = self.log.iter().zip(&before.log).take_while(|(a, b)| a == b).count();
        (is_same && common < self.log.len()).then_some(common)
    }

    fn tear(&mut self, from: usize, rng: &mut Rng) {
        let at = rng.usize(from..self.log.len());
        match rng.u32(0..4) {
            0 => self.log.truncate(at),
            1 => self.log[at..].fill(0),
            2 => self.log[at] ^= 1 << rng.u32(0..8),
            // A sector in the middle did not get there, those behind it did.
            _ => {
                let end = self.log.len().min(at + 512);
                self.log[at..end].fill(0);
            }
        }
    }
}

/// Both copies, and what was acknowledged by the first.
pub async fn cut_power(process: &Process, world: &World, rng: &mut Rng, copy: &Folder) -> HashSet<Key> {
    loop {
        sleep(Duration::from_millis(rng.u64(50..250))).await;
        process.signal("STOP").await;
        let before = Files::read(&process.folder);
        let fates = world.history.lock().fates.clone();
        process.signal("CONT").await;
        sleep(Duration::from_millis(rng.u64(5..60))).await;
        process.signal("STOP").await;
        let mut after = Files::read(&process.folder);
        process.signal("CONT").await;
        if let Some(from) = after.goes_on_at(&before) {
            after.tear(from, rng);
            after.write(copy.path());
            let acknowledged = |(key, fate): (Key, crate::history::Fate)| fate.acknowledged.map(|_| key);
            return fates.into_iter().filter_map(acknowledged).collect();
        }
    }
}

/// A broker on what the power cut left gives everybody what was acknowledged before, in order and once.
pub async fn check(
    folder: &Folder,
    world: &Arc<World>,
    names: &[(&str, ProtocolVersion)],
    due: &HashSet<Key>,
) {
    let mut broker = Process::on(folder.path());
    let port = broker.start().await;
    for (name, version) in names {
        let got = drain(port, name, *version).await.expect("the broker is there");
        let all: HashSet<_> = got.iter().copied().collect();
        for key in due.iter().filter(|key| !key.stream.retain && !all.contains(key)) {
            world.history.violation(Some(*key), format!("{name}: lost in a power cut"));
        }
        for (index, key) in got.iter().enumerate() {
            let is_late = |other: &&Key| other.stream == key.stream && other.number > key.number;
            if let Some(early) = got[..index].iter().find(is_late)
                && !got[..index].contains(key)
            {
                world.history.violation(Some(*key), format!("{name}: came after {early}"));
            }
            if key.stream.qos == QoS::ExactlyOnce && got[..index].contains(key) {
                world.history.violation(Some(*key), format!("{name}: came twice after a power cut"));
            }
        }
    }
    broker.crash().await;
}

/// All that waits for a session.
async fn drain(port: u16, name: &str, version: ProtocolVersion) -> Result<Vec<Key>, Broken> {
    let expiry = (version == ProtocolVersion::V5).then_some(3600);
    let connect = Connect::new(version, name.to_owned().into());
    let connect = Connect { clean_start: false, session_expiry_interval: expiry, ..connect };
    let (mut wire, connack) = Wire::connect(port, connect).await?;
    assert!(connack.session_present, "the session of {name} is lost");
    let (mut got, mut silent) = (Vec::new(), 0);
    while silent < 3 {
        wire.put(Packet::Pingreq);
        wire.flush().await?;
        silent += 1;
        loop {
            match wire.receive().await? {
                Packet::Pingresp => break,
                Packet::Publish(publish) => {
                    let ack = Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS);
                    got.extend(Key::parse(&String::from_utf8_lossy(&publish.payload)));
                    let is_once = publish.qos == QoS::ExactlyOnce;
                    wire.put(if is_once { Packet::Pubrec(ack) } else { Packet::Puback(ack) });
                }
                Packet::Pubrel(ack) => wire.put(Packet::Pubcomp(ack)),
                other => panic!("{other:?}"),
            }
            wire.flush().await?;
            silent = 0;
        }
    }
    Ok(got)
}
