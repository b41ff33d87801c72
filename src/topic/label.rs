//! The levels of a filter by which a node is reached from its parent, with the separators between them.
//!
//! As many as lie in place, so that a walk that looks at a node has its label too; one that is longer lies elsewhere.

pub(super) struct Label(Text);

enum Text {
    Short { length: u8, bytes: [u8; SHORT] },
    // Boxed twice because a pointer with a length would make every node larger.
    Long(Box<Box<[u8]>>),
}

const SHORT: usize = 14;

impl Label {
    /// A label of the first levels of a path: those that lie in place together, but at least one.
    pub(super) fn of_first(path: &[u8]) -> Self {
        if path.len() <= SHORT {
            return Self::new(path);
        }
        let end = path[..=SHORT].iter().rposition(|byte| *byte == b'/');
        Self::new(end.map_or(first_level(path), |end| &path[..end]))
    }

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

    pub(super) fn first_level(&self) -> &[u8] {
        first_level(self.text())
    }

    /// The levels from a place on; `None` behind the last one.
    pub(super) fn levels_from(&self, place: usize) -> Option<&[u8]> {
        self.text().get(place..)
    }

    /// The length of what a path has in common with the label: whole levels, from the first on.
    pub(super) fn shared_with(&self, path: &[u8]) -> usize {
        let label = self.text();
        let equal = label.iter().zip(path).take_while(|(one, other)| one == other).count();
        let ends = |text: &[u8]| text.get(equal).is_none_or(|byte| *byte == b'/');
        if ends(label) && ends(path) {
            return equal;
        }
        label[..equal].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
    }
}

impl Default for Label {
    fn default() -> Self {
        Self::new(b"")
    }
}

/// Whether this is the first level of a path.
pub(super) fn begins_with(path: &[u8], level: &[u8]) -> bool {
    path.strip_prefix(level).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

/// What stands before the first separator.
pub(super) fn first_level(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_any_length_keeps_its_text() {
        for length in 0..64 {
            let text: Vec<u8> = (0..length).collect();
            assert_eq!(Label::new(&text).text(), text);
        }
    }

    #[test]
    fn a_label_has_sixteen_bytes() {
        assert_eq!(size_of::<Label>(), 16);
    }

    #[test]
    fn a_label_takes_the_levels_that_lie_in_place_and_at_least_one() {
        let first = |path: &str| String::from_utf8(Label::of_first(path.as_bytes()).text().to_vec()).unwrap();
        assert_eq!(first("a/b/c"), "a/b/c");
        assert_eq!(first("12345678901234"), "12345678901234");
        assert_eq!(first("12345/78901234/x"), "12345/78901234");
        assert_eq!(first("12345/789012345/x"), "12345");
        assert_eq!(first("a level that is long/b"), "a level that is long");
        assert_eq!(first("/a level that is long"), "");
        assert_eq!(first("////////////////"), "//////////////");
    }

    #[test]
    fn what_a_label_and_a_path_share_ends_with_a_level() {
        let shared = |label: &str, path: &str| Label::new(label.as_bytes()).shared_with(path.as_bytes());
        assert_eq!(shared("a/b", "a/b"), 3);
        assert_eq!(shared("a/b", "a/b/c"), 3);
        assert_eq!(shared("a/b", "a"), 1);
        assert_eq!(shared("a/b", "a/bc"), 1);
        assert_eq!(shared("a/bc", "a/b"), 1);
        assert_eq!(shared("a/", "a/b"), 1);
        assert_eq!(shared("a//", "a//b"), 2);
        assert_eq!(shared("", "/b"), 0);
    }

    #[test]
    fn the_levels_of_a_label_come_one_after_the_other() {
        let label = Label::new(b"a//bc/");
        let (mut place, mut levels) = (0, Vec::new());
        while let Some(rest) = label.levels_from(place) {
            assert!(begins_with(rest, first_level(rest)));
            levels.push(first_level(rest));
            place += first_level(rest).len() + 1;
        }
        assert_eq!(levels, [&b"a"[..], b"", b"bc", b""]);
    }
}
