//! What all clients of the comparison do: one connection subscribes to a topic and publishes to it, with so many messages
//! under way at a time, until so many have come back. What it took of the processor is printed.

use std::env::args;
use std::fs;

pub struct Work {
    pub port: u16,
    pub qos: u8,
    pub messages: u32,
    pub window: u32,
    pub size: usize,
}

impl Work {
    /// PORT QOS MESSAGES WINDOW SIZE
    pub fn of_arguments() -> Work {
        let numbers: Vec<u32> = args().skip(1).map(|text| text.parse().expect("a number")).collect();
        let [port, qos, messages, window, size] = numbers[..] else {
            panic!("give PORT QOS MESSAGES WINDOW SIZE")
        };
        Work { port: port as u16, qos: qos as u8, messages, window, size: size as usize }
    }

    /// For the whole of the messages, without what connecting took.
    pub fn report(&self, before: f64) {
        println!("{:.3}", (processor_seconds() - before) * 1e6 / f64::from(self.messages));
    }
}

/// User and system time of this process.
pub fn processor_seconds() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is there");
    let nanoseconds: u64 = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|schedstat| schedstat.split(' ').next()?.parse::<u64>().ok())
        .sum();
    nanoseconds as f64 / 1e9
}
