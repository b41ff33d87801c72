//! What a storage costs: records per second and microseconds of CPU per record, by how many lie in one batch. Run
//! with `cargo bench --no-default-features --features sqlite,mysql --bench storage`, and for some rows with
//! `… --bench storage -- sqlite "1000"`.
//!
//! A record is a message of 200 bytes on its way to one session: its body and its delivery. SQLite makes its folder in
//! `$TIDEGATE_BENCH_FOLDER`, or where the system keeps temporary files; rows of MySQL are there where
//! `$TIDEGATE_BENCH_MYSQL` is the URL of an empty database, with the server's CPU time beside them where
//! `$TIDEGATE_BENCH_MYSQL_PID` is its process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::message::ApplicationMessage;
use tidegate::packet::QoS;
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{Change, DeliveryRecord, DeliveryState, Storage};
use tidegate::topic::TopicName;

/// Of one row, at least.
const ROUND: Duration = Duration::from_secs(2);
const BATCHES: [u64; 3] = [1, 100, 1000];
const RETAINED: u64 = 100_000;

struct Bench {
    name: &'static str,
    storage: Arc<dyn Storage>,
    /// Other processes that work for it.
    server: Option<u32>,
}

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = |row: &str| wanted.iter().all(|word| row.contains(word));
    println!("{:<44} {:>10} {:>10} {:>10}", "storage", "records/s", "CPU µs", "server µs");
    for bench in benches() {
        for batch in BATCHES {
            bench.records(batch, wanted);
        }
        bench.retained(wanted);
    }
    clean();
}

impl Bench {
    /// Messages come, are sent, and are acknowledged: each in a batch of its own.
    fn records(&self, batch: u64, wanted: impl Fn(&str) -> bool) {
        let row = |what: &str| format!("{}, batch {batch}, {what}", self.name);
        let (come, sent, gone) = (row("queued"), row("sent"), row("acknowledged"));
        if !wanted(&come) && !wanted(&sent) && !wanted(&gone) {
            return;
        }
        let (mut first, mut costs) = (1, [Cost::default(); 3]);
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            let numbers = first..first + batch;
            let queued = numbers.clone().flat_map(|number| [body(number), delivery(number)]).collect();
            let set = numbers.clone().map(set_sent).collect();
            let last = numbers.end - 1;
            let deleted = vec![Change::DeleteDeliveries(first..=last), Change::DeleteMessages(first..=last)];
            for (cost, changes) in costs.iter_mut().zip([queued, set, deleted]) {
                cost.add(self.commit(changes), batch);
            }
            first += batch;
        }
        [come, sent, gone].iter().zip(costs).for_each(|(row, cost)| cost.report(row));
    }

    /// Retained messages are put, replaced, and loaded when a broker starts.
    fn retained(&self, wanted: impl Fn(&str) -> bool) {
        let row = |what: &str| format!("{}, {RETAINED} retained, {what}", self.name);
        if !wanted(&row("")) {
            return;
        }
        for what in ["put", "replaced"] {
            let mut cost = Cost::default();
            for first in (0..RETAINED).step_by(1000) {
                let changes =
                    (first..first + 1000).map(|number| Change::PutRetained(message(number))).collect();
                cost.add(self.commit(changes), 1000);
            }
            cost.report(&row(what));
        }
        let (mut loaded, mut cost) = (0, Cost::default());
        let spent = self.spent(|| self.storage.load(&mut |_| loaded += 1).unwrap());
        cost.add(spent, loaded);
        cost.report(&row("loaded"));
        println!("{:<44} {:>9.3} s wall, {:.3} s CPU", "", cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
    }

    fn commit(&self, changes: Vec<Change>) -> [Duration; 3] {
        self.spent(|| self.storage.commit(&changes).unwrap())
    }

    /// By the clock, on this thread, and by the server.
    fn spent(&self, work: impl FnOnce()) -> [Duration; 3] {
        let (wall, cpu, server) = (Instant::now(), thread_time(), self.server_time());
        work();
        [wall.elapsed(), thread_time() - cpu, self.server_time() - server]
    }

    fn server_time(&self) -> Duration {
        self.server.map_or(Duration::ZERO, process_time)
    }
}

#[derive(Clone, Copy, Default)]
struct Cost {
    records: u64,
    wall: Duration,
    cpu: Duration,
    server: Duration,
}

impl Cost {
    fn add(&mut self, [wall, cpu, server]: [Duration; 3], records: u64) {
        self.records += records;
        self.wall += wall;
        self.cpu += cpu;
        self.server += server;
    }

    fn report(&self, row: &str) {
        let per_record = |time: Duration| time.as_secs_f64() * 1e6 / self.records.max(1) as f64;
        let rate = self.records as f64 / self.wall.as_secs_f64();
        println!("{row:<44} {rate:>10.0} {:>10.2} {:>10.2}", per_record(self.cpu), per_record(self.server));
    }
}

fn benches() -> Vec<Bench> {
    let mut benches: Vec<Bench> = Vec::new();
    #[cfg(feature = "sqlite")]
    {
        use tidegate::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};
        let levels = [("sqlite", Synchronous::Full), ("sqlite, synchronous normal", Synchronous::Normal)];
        for (name, synchronous) in levels {
            let options = SqliteOptions { synchronous, ..SqliteOptions::default() };
            let storage = Arc::new(SqliteStorage::open(&folder().join(name), options).unwrap());
            benches.push(Bench { name, storage, server: None });
        }
    }
    #[cfg(feature = "mysql")]
    if let Ok(url) = std::env::var("TIDEGATE_BENCH_MYSQL") {
        use tidegate::storage::mysql::{MysqlOptions, MysqlStorage};
        let storage = Arc::new(MysqlStorage::open(&url, MysqlOptions::default()).unwrap());
        let server = std::env::var("TIDEGATE_BENCH_MYSQL_PID").ok().and_then(|pid| pid.parse().ok());
        benches.push(Bench { name: "mysql", storage, server });
    }
    if benches.is_empty() {
        benches.push(Bench { name: "memory", storage: Arc::<MemoryStorage>::default(), server: None });
    }
    benches
}

fn folder() -> PathBuf {
    let folder = std::env::var_os("TIDEGATE_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    folder.join(format!("tidegate-bench-storage-{}", std::process::id()))
}

fn clean() {
    let _ = std::fs::remove_dir_all(folder());
}

fn message(number: u64) -> Arc<ApplicationMessage> {
    let topic = TopicName::try_from(format!("devices/{number:08}/telemetry").as_str()).unwrap();
    Arc::new(ApplicationMessage::new(topic, vec![b'x'; 200]).with_qos(QoS::AtLeastOnce))
}

fn body(number: u64) -> Change {
    Change::PutMessage { number, message: message(number) }
}

fn delivery(number: u64) -> Change {
    Change::PutDelivery(Box::new(DeliveryRecord {
        number,
        session: number % 1000,
        message: number,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Box::default(),
        shared: None,
        state: DeliveryState::Queued,
    }))
}

fn set_sent(number: u64) -> Change {
    let identifier = tidegate::packet::PacketIdentifier::new((number % 60_000) as u16 + 1).unwrap();
    Change::SetDeliveryState { number, state: DeliveryState::Sent(identifier) }
}

/// Of this thread.
fn thread_time() -> Duration {
    time_of("/proc/thread-self/schedstat")
}

/// Of all threads of a process.
fn process_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| time_of(&format!("{}/schedstat", thread.path().display()))).sum()
}

fn time_of(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
