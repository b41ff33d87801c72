//! The port through which state survives: the trait [`Storage`], and the [`Committer`] in front of it.
//!
//! A storage takes batches of [changes](Change), each batch whole or not at all, and gives back what it holds
//! as the changes that would bring it about. It does not decide what is kept, nor when: that is the broker's and the
//! committer's business. [`memory`] keeps it for as long as the process lives, so that a broker that is stopped
//! and started again in the same process finds it; `sqlite` keeps it in a folder, `mysql` in a
//! database.

mod change;
mod committer;
mod error;
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
mod opened;
mod pending;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
mod record;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod survey;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
mod table;
#[cfg(feature = "daemon")]
pub mod transfer;

pub use change::{Change, ClientRecord, DeliveryRecord, DeliveryState, SessionRecord, WillRecord};
pub use committer::{Committer, CommitterFigures, Durability, Group, Promise};
pub use error::{StorageError, StorageFault};
pub use opened::{KeptState, OpenedStorage};
pub use pending::Op;
pub use survey::{Amount, Figures, SessionFigures, Survey};

/// Where state is kept. Called by one thread at a time: the one that starts the broker, then the committer's.
pub trait Storage: Send + Sync + 'static {
    /// Carries out all of `changes` or none of them. When it returns, they outlive the process and, where the storage
    /// was opened so, a power cut.
    ///
    /// Each change is about something of its own, but for [`Change::DeleteSession`], which comes last. A batch that failed
    /// may be given again, and may have been carried out nevertheless: to put or delete twice is no fault.
    ///
    /// # Errors
    /// Where it could not. Then nothing of the batch is kept, unless the connection to the storage broke meanwhile.
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError>;

    /// Hands over all that is held, as what puts it there: when it was alive, sessions, what belongs to
    /// them, Wills, then messages and deliveries, each in the order of their numbers.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError>;

    /// Looks whether what lies below the changes is sound.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// What it takes.
    ///
    /// # Errors
    /// Where it cannot be found out.
    fn extent(&self) -> Result<Extent, StorageError> {
        Ok(Extent::default())
    }
}

/// What a storage says of itself; None where it has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// On the disk.
    pub bytes: Option<u64>,
    /// Of its tables.
    pub version: Option<u32>,
}
