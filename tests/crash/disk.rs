//! A broker process whose disk fails and loses power: `disk/shim.c` stands between it and the system.
//!
//! What would outlive a power cut is known byte by byte, so that one can be made: the process is killed, and its files are
//! put together anew from what was synced and from any part of what was written since.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::broker::{Broker, Folder, Process};

/// What writes and syncs do; the shim's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None = b'w' as isize,
    WriteFails = b'e' as isize,
    Full = b's' as isize,
    /// Less is written than was asked for, and that is said.
    Short = b'h' as isize,
    /// Less is written than was asked for, and then it fails.
    Torn = b't' as isize,
    /// What was written stays to be read, and is gone with the power.
    SyncFails = b'f' as isize,
    /// What was written is gone at once.
    SyncFailsAndReverts = b'd' as isize,
    ReadFails = b'r' as isize,
    Slow = b'l' as isize,
}

const FAULTS: [Fault; 9] = [
    Fault::None,
    Fault::WriteFails,
    Fault::Full,
    Fault::Short,
    Fault::Torn,
    Fault::SyncFails,
    Fault::SyncFailsAndReverts,
    Fault::ReadFails,
    Fault::Slow,
];

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    All,
    /// Any sectors of it.
    Some,
}

const SECTOR: u64 = 512;

/// The disk under a data folder.
pub struct Disk {
    folder: PathBuf,
    images: Folder,
    control: File,
    shim: PathBuf,
}

impl Disk {
    /// None, and that is said, where it cannot be had.
    pub fn under(folder: &Path) -> Option<Disk> {
        let folder = folder.canonicalize().unwrap();
        let images = Folder::at(folder.with_extension("images"));
        let (shim, control) = (images.path().join("shim.so"), images.path().join("control"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/disk/shim.c");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source);
        if !cfg!(target_os = "linux") || !compiler.status().is_ok_and(|status| status.success()) {
            println!("PASSED OVER: a disk that fails is made by a C compiler (cc), on Linux");
            return None;
        }
        fs::write(&control, [0; 24]).unwrap();
        let control = OpenOptions::new().read(true).write(true).open(control).unwrap();
        let disk = Disk { folder, images, control, shim };
        disk.set(Fault::None, 100);
        Some(disk)
    }

    /// What its process has to be started with.
    pub fn environment(&self) -> Vec<(String, PathBuf)> {
        let control = self.images.path().join("control");
        let all = [
            ("LD_PRELOAD", self.shim.clone()),
            ("FAULTY_FOLDER", self.folder.clone()),
            ("FAULTY_IMAGES", self.images.path().to_owned()),
            ("FAULTY_CONTROL", control),
        ];
        all.map(|(name, path)| (name.to_owned(), path)).into()
    }

    /// From now on so many of a hundred calls fail in this way.
    pub fn set(&self, fault: Fault, percent: u8) {
        set(&self.control, fault, percent);
    }

    /// Writes, truncations and syncs, and how many of them failed.
    pub fn counts(&self) -> (u64, u64) {
        let mut counts = [0; 16];
        self.control.read_exact_at(&mut counts, 8).unwrap();
        let (calls, faults) = counts.split_at(8);
        (u64::from_ne_bytes(calls.try_into().unwrap()), u64::from_ne_bytes(faults.try_into().unwrap()))
    }

    /// Of a process that is gone already.
    pub fn lose_power(&self, left: Left, rng: &mut Rng) {
        for entry in fs::read_dir(self.images.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap().to_owned();
            let is_image = name.starts_with("tidegate.db") && !name.ends_with(".dirty");
            let file = self.folder.join(&name);
            if is_image && file.exists() {
                self.let_through(&name, left, rng);
                fs::copy(&path, &file).unwrap();
            }
        }
        self.forget_images();
    }

    /// What is in the files is on the disk: the system wrote it meanwhile.
    pub fn forget_images(&self) {
        for entry in fs::read_dir(self.images.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().and_then(OsStr::to_str).unwrap().starts_with("tidegate.db") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// Has some of what was not synced get into an image nevertheless.
    fn let_through(&self, name: &str, left: Left, rng: &mut Rng) {
        let file = File::open(self.folder.join(name)).unwrap();
        let image = OpenOptions::new().write(true).open(self.images.path().join(name)).unwrap();
        let written = fs::read(self.images.path().join(format!("{name}.dirty"))).unwrap_or_default();
        let mut chosen = || match left {
            Left::Nothing => false,
            Left::All => true,
            Left::Some => rng.bool(),
        };
        for record in written.as_chunks::<16>().0 {
            let (at, len) = record.split_at(8);
            let at = u64::from_ne_bytes(at.try_into().unwrap());
            match u64::try_from(i64::from_ne_bytes(len.try_into().unwrap())) {
                Ok(len) => {
                    for sector in sectors(at, len).filter(|_| chosen()) {
                        copy(&file, &image, sector);
                    }
                }
                Err(_) if chosen() => image.set_len(at).unwrap(),
                Err(_) => {}
            }
        }
    }
}

fn set(control: &File, fault: Fault, percent: u8) {
    control.write_all_at(&[fault as u8, percent], 0).unwrap();
}

fn sectors(at: u64, len: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let first = (at / SECTOR) * SECTOR;
    let all = (first..at + len).step_by(SECTOR as usize);
    all.map(move |from| from.max(at)..(from + SECTOR).min(at + len))
}

/// What of it there still is.
fn copy(from: &File, to: &File, range: std::ops::Range<u64>) {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let count = from.read_at(&mut bytes, range.start).unwrap();
    to.write_all_at(&bytes[..count], range.start).unwrap();
}

/// A broker on such a disk. What it calls a crash comes after a time in which the disk failed in one way after the
/// other, and is a power cut, or a kill after which the system writes what it has.
pub struct Failing {
    process: Process,
    disk: Disk,
    rng: Rng,
    trouble: Option<JoinHandle<()>>,
    /// How often it was started on a disk that failed, and how often it said so and ended.
    starts: (u32, u32),
}

impl Failing {
    pub fn on(folder: &Folder, seed: u64) -> Option<Failing> {
        let disk = Disk::under(folder.path())?;
        let mut process = Process::on(folder.path());
        process.environment = disk.environment();
        Some(Failing { process, disk, rng: Rng::with_seed(seed), trouble: None, starts: (0, 0) })
    }

    /// What it was good for.
    pub fn summary(&self) -> String {
        let ((calls, faults), (starts, refused)) = (self.disk.counts(), self.starts);
        format!("{faults} of {calls} calls failed; {refused} of {starts} starts did")
    }

    /// A broker that cannot read or write what it needs says so, ends, and leaves the folder as one that it can
    /// be started with.
    async fn start_on_a_disk_that_fails(&mut self) -> Option<u16> {
        let fault = FAULTS[self.rng.usize(1..FAULTS.len())];
        self.disk.set(fault, [3, 30, 100][self.rng.usize(0..3)]);
        let started = self.process.try_start().await;
        self.disk.set(Fault::None, 100);
        self.starts.0 += 1;
        if let Err(said) = &started {
            self.starts.1 += 1;
            assert!(said.contains("failed to ") && !said.contains("panicked"), "{said}");
        }
        started.ok()
    }

    /// In random turns.
    fn begin_trouble(&mut self) {
        let mut rng = self.rng.fork();
        let control = self.disk.control.try_clone().unwrap();
        self.trouble = Some(tokio::spawn(async move {
            loop {
                let fault = if rng.u32(0..5) < 2 { Fault::None } else { FAULTS[rng.usize(0..FAULTS.len())] };
                set(&control, fault, [5, 30, 100][rng.usize(0..3)]);
                sleep(Duration::from_millis(rng.u64(10..200))).await;
            }
        }));
    }

    async fn end_trouble(&mut self) {
        if let Some(trouble) = self.trouble.take() {
            trouble.abort();
            assert!(trouble.await.unwrap_err().is_cancelled());
        }
        self.disk.set(Fault::None, 100);
    }
}

impl Broker for Failing {
    async fn start(&mut self) -> u16 {
        let early = if self.rng.u32(0..4) == 0 { self.start_on_a_disk_that_fails().await } else { None };
        let port = match early {
            Some(port) => port,
            None => self.process.start().await,
        };
        self.begin_trouble();
        port
    }

    async fn crash(&mut self) {
        self.process.crash().await;
        self.end_trouble().await;
        match self.rng.u32(0..5) {
            0 => self.disk.forget_images(),
            1 => self.disk.lose_power(Left::Nothing, &mut self.rng),
            2 => self.disk.lose_power(Left::All, &mut self.rng),
            3 => self.disk.lose_power(Left::Some, &mut self.rng),
            // The next power cut finds what is not synced by then.
            _ => {}
        }
    }

    async fn stop(&mut self) {
        self.end_trouble().await;
        self.process.stop().await;
    }

    async fn calm(&mut self) {
        self.end_trouble().await;
    }
}
