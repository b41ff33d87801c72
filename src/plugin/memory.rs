//! What instances may use, and how much linear memory and how large tables they have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{ResourceLimiter, StoreLimits};

/// Of all instances of a plugin. It changes where an instance begins, grows or ends, not with calls.
#[derive(Default)]
pub(super) struct MemoryUse {
    instances: AtomicU64,
    bytes: AtomicU64,
    highest: AtomicU64,
    highest_tables: AtomicU64,
}

/// Of an element of a table: wasmtime keeps a pointer for each function that a table may name.
const BYTES_PER_ELEMENT: u64 = size_of::<usize>() as u64;

impl MemoryUse {
    /// Instances now.
    pub(super) fn instances(&self) -> u64 {
        self.instances.load(Ordering::Relaxed)
    }

    /// Bytes of all instances now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that one instance ever had.
    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// The most bytes that the tables of one instance ever had.
    pub(super) fn highest_tables(&self) -> u64 {
        self.highest_tables.load(Ordering::Relaxed)
    }
}

/// The limits of one instance, which note what it grows to.
pub(super) struct Limits {
    limits: StoreLimits,
    of_all: Arc<MemoryUse>,
    bytes: u64,
    /// What was granted last; it may turn out not to be had.
    granted: u64,
    /// Of its tables.
    elements: u64,
}

impl Limits {
    pub(super) fn new(limits: StoreLimits, of_all: Arc<MemoryUse>) -> Limits {
        of_all.instances.fetch_add(1, Ordering::Relaxed);
        Limits { limits, of_all, bytes: 0, granted: 0, elements: 0 }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.of_all.instances.fetch_sub(1, Ordering::Relaxed);
        self.of_all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_granted = self.limits.memory_growing(current, desired, maximum)?;
        self.granted = if is_granted { desired.saturating_sub(current) as u64 } else { 0 };
        self.bytes += self.granted;
        self.of_all.bytes.fetch_add(self.granted, Ordering::Relaxed);
        self.of_all.highest.fetch_max(self.bytes, Ordering::Relaxed);
        Ok(is_granted)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let granted = std::mem::take(&mut self.granted);
        self.bytes -= granted;
        self.of_all.bytes.fetch_sub(granted, Ordering::Relaxed);
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_granted = self.limits.table_growing(current, desired, maximum)?;
        if is_granted {
            self.elements += desired.saturating_sub(current) as u64;
            self.of_all.highest_tables.fetch_max(self.elements * BYTES_PER_ELEMENT, Ordering::Relaxed);
        }
        Ok(is_granted)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
