//! The port through which state survives: the trait [`Storage`].
//!
//! A storage takes batches of operations, each batch whole or not at all, and gives back what it holds
//! when a broker starts. It does not decide what is kept. [`memory`] keeps it for as long as the process
//! lives, so that a broker that is stopped and started again in the same process finds it.

pub mod memory;

use std::sync::Arc;

use crate::message::ApplicationMessage;
use crate::topic::TopicName;

/// One change of what is kept.
#[derive(Clone, Debug)]
pub enum Op {
    /// Replaces what is retained for the message's topic.
    SetRetained(Arc<ApplicationMessage>),
    DeleteRetained(TopicName),
}

/// The environment's fault: the storage could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct StorageError {
    /// What it was asked for: `read retained messages`.
    pub doing: &'static str,
    pub why: String,
}

pub trait Storage: Send + Sync + 'static {
    /// Carries out all of `ops`, in their order, or none of them.
    ///
    /// # Errors
    /// Where it could not; then nothing of the batch is kept.
    fn commit(&self, ops: &[Op]) -> Result<(), StorageError>;

    /// Hands over every retained message, in no order.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn load_retained(&self, each: &mut dyn FnMut(Arc<ApplicationMessage>)) -> Result<(), StorageError>;
}
