//! The text of one level of a filter, kept in a node; short text lies in place.

pub(super) struct Level(Text);

enum Text {
    Short { length: u8, bytes: [u8; SHORT] },
    // Boxed twice because a pointer with a length would make every node larger.
    Long(Box<Box<[u8]>>),
}

const SHORT: usize = 14;

impl Level {
    pub(super) fn new(text: &[u8]) -> Self {
        if text.len() > SHORT {
            return Self(Text::Long(Box::new(text.into())));
        }
        let mut bytes = [0; SHORT];
        bytes[..text.len()].copy_from_slice(text);
        Self(Text::Short { length: text.len() as u8, bytes })
    }

    pub(super) fn text(&self) -> &[u8] {
        match &self.0 {
            Text::Short { length, bytes } => &bytes[..usize::from(*length)],
            Text::Long(bytes) => bytes,
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::new(b"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_any_length_keeps_its_text() {
        for length in 0..64 {
            let text: Vec<u8> = (0..length).collect();
            assert_eq!(Level::new(&text).text(), text);
        }
    }

    #[test]
    fn a_level_has_sixteen_bytes() {
        assert_eq!(size_of::<Level>(), 16);
    }
}
