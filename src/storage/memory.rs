//! Keeps state for as long as the process lives.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::{Op, Storage, StorageError};
use crate::message::ApplicationMessage;
use crate::topic::TopicName;

/// Shared by the brokers that get a clone of the same `Arc`.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    retained: Mutex<HashMap<TopicName, Arc<ApplicationMessage>>>,
}

impl Storage for MemoryStorage {
    fn commit(&self, ops: &[Op]) -> Result<(), StorageError> {
        let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            match op {
                Op::SetRetained(message) => {
                    retained.insert(message.topic.clone(), message.clone());
                }
                Op::DeleteRetained(topic) => {
                    retained.remove(topic);
                }
            }
        }
        Ok(())
    }

    fn load_retained(&self, each: &mut dyn FnMut(Arc<ApplicationMessage>)) -> Result<(), StorageError> {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        retained.values().cloned().for_each(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_storage_contract() {
        contract(&MemoryStorage::default());
    }

    /// What every storage must do.
    fn contract(storage: &dyn Storage) {
        assert!(loaded(storage).is_empty());
        storage.commit(&[Op::SetRetained(message("a", "1")), Op::SetRetained(message("b", "2"))]).unwrap();
        assert_eq!(loaded(storage), ["a=1", "b=2"]);
        storage.commit(&[Op::SetRetained(message("a", "3"))]).unwrap();
        assert_eq!(loaded(storage), ["a=3", "b=2"]);
        let again = Op::SetRetained(message("b", "4"));
        storage.commit(&[Op::DeleteRetained(topic("b")), again, Op::DeleteRetained(topic("a"))]).unwrap();
        assert_eq!(loaded(storage), ["b=4"]);
        storage.commit(&[Op::DeleteRetained(topic("never"))]).unwrap();
        assert_eq!(loaded(storage), ["b=4"]);
    }

    fn topic(name: &str) -> TopicName {
        TopicName::try_from(name).unwrap()
    }

    fn message(name: &str, payload: &str) -> Arc<ApplicationMessage> {
        Arc::new(ApplicationMessage::new(topic(name), payload.to_string()))
    }

    fn loaded(storage: &dyn Storage) -> Vec<String> {
        let mut all = Vec::new();
        storage
            .load_retained(&mut |m| all.push(format!("{}={}", m.topic, String::from_utf8_lossy(&m.payload))))
            .unwrap();
        all.sort();
        all
    }
}
