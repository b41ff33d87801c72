//! Levels as numbers: every distinct level of the filters in a tree is kept once and counted.
//!
//! The name of a published message is only looked up here, never added, so that publishing cannot fill the table.

use slab::Slab;

use super::hash::Seed;
use super::string_table::StringTable;

/// The number of a level, good until its last use is released.
pub(super) type LevelId = u32;

#[derive(Debug)]
pub(super) struct Levels {
    kept: Slab<Kept>,
    table: StringTable,
}

/// A level with the number of its uses; short text lies in place.
#[derive(Debug)]
enum Kept {
    Short { uses: u32, length: u8, bytes: [u8; SHORT] },
    Long { uses: u32, bytes: Box<[u8]> },
}

const SHORT: usize = 18;

impl Levels {
    pub(super) fn new(seed: Seed) -> Self {
        Self { kept: Slab::new(), table: StringTable::new(seed) }
    }

    /// The number of distinct levels.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The number of a level that some filter uses.
    pub(super) fn find(&self, level: &[u8]) -> Option<LevelId> {
        self.table.find(level, |id| self.kept[id as usize].text() == level)
    }

    /// The number of a level that gets one more use.
    pub(super) fn acquire(&mut self, level: &[u8]) -> LevelId {
        if let Some(id) = self.find(level) {
            *self.kept[id as usize].uses() += 1;
            return id;
        }
        // More than four thousand million levels do not fit into memory before they do not fit into a u32.
        let id = self.kept.insert(Kept::new(level)) as LevelId;
        self.table.insert(level, id);
        id
    }

    /// Gives back one use of a level.
    pub(super) fn release(&mut self, id: LevelId) {
        let uses = self.kept[id as usize].uses();
        *uses -= 1;
        if *uses == 0 {
            let kept = self.kept.remove(id as usize);
            self.table.remove(kept.text(), id);
        }
    }
}

impl Kept {
    fn new(level: &[u8]) -> Self {
        if level.len() > SHORT {
            return Self::Long { uses: 1, bytes: level.into() };
        }
        let mut bytes = [0; SHORT];
        bytes[..level.len()].copy_from_slice(level);
        Self::Short { uses: 1, length: level.len() as u8, bytes }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes, .. } => &bytes[..usize::from(*length)],
            Self::Long { bytes, .. } => bytes,
        }
    }

    fn uses(&mut self) -> &mut u32 {
        match self {
            Self::Short { uses, .. } | Self::Long { uses, .. } => uses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_keeps_its_number_until_the_last_use_is_released() {
        let mut levels = Levels::new(Seed::new(1));
        for text in ["", "a", "exactly18characters", "a level of more than eighteen bytes"] {
            let text = text.as_bytes();
            let id = levels.acquire(text);
            assert_eq!(levels.acquire(text), id);
            levels.release(id);
            assert_eq!(levels.find(text), Some(id));
            levels.release(id);
            assert_eq!(levels.find(text), None);
        }
        assert_eq!(levels.len(), 0);
    }

    #[test]
    fn many_levels_come_and_go() {
        let mut levels = Levels::new(Seed::new(1));
        let ids: Vec<_> = (0..5_000).map(|n| levels.acquire(format!("level {n}").as_bytes())).collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(levels.find(format!("level {n}").as_bytes()), Some(*id));
            levels.release(*id);
            assert_eq!(levels.find(format!("level {n}").as_bytes()), None);
        }
        assert_eq!(levels.len(), 0);
    }

    #[test]
    fn a_kept_level_is_small() {
        assert_eq!(size_of::<Kept>(), 24);
    }
}
