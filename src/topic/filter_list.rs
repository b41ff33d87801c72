//! A fixed list of Topic Filters that only answers whether one of them matches.

use std::fmt;
use std::ops::ControlFlow;

use super::TopicFilter;
use super::path_tree::{PathTree, Payload};

/// Topic Filters compiled once, for asking often whether any of them selects a name.
///
/// The time to answer depends on the levels of the name and the filters that share them, not on how many filters
/// there are. Share prefixes are ignored. An empty list matches nothing.
///
/// ```
/// use tidegate::topic::{TopicFilter, TopicFilters};
///
/// let filters: TopicFilters = [TopicFilter::try_from("a/+")?, TopicFilter::try_from("b")?].iter().collect();
/// assert!(filters.matches_any("a/x"));
/// assert!(!filters.matches_any("b/x"));
/// # Ok::<(), tidegate::topic::InvalidTopic>(())
/// ```
pub struct TopicFilters {
    tree: PathTree<Listed>,
}

#[derive(Default)]
struct Listed(bool);

impl TopicFilters {
    /// Whether one of the filters selects the name, with the rule for names that begin with `$` [MQTT-4.7.2-1].
    pub fn matches_any(&self, topic: &str) -> bool {
        let found = self.tree.visit(topic, |listed| match listed.0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    /// Whether no filter is in the list, so that nothing can match.
    pub fn is_empty(&self) -> bool {
        self.tree.node_count() == 0
    }
}

impl<'a> FromIterator<&'a TopicFilter> for TopicFilters {
    fn from_iter<I: IntoIterator<Item = &'a TopicFilter>>(filters: I) -> Self {
        // The filters come from whoever runs the broker and names are only looked up, never put in: nobody can
        // make collisions grow, so the seed need not be secret.
        let mut tree = PathTree::<Listed>::new(0);
        for filter in filters {
            tree.entry(filter.filter()).0 = true;
        }
        Self { tree }
    }
}

impl fmt::Debug for TopicFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicFilters").field("nodes", &self.tree.node_count()).finish_non_exhaustive()
    }
}

impl Payload for Listed {
    fn is_empty(&self) -> bool {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(filters: &[&str]) -> TopicFilters {
        let filters: Vec<_> = filters.iter().map(|text| TopicFilter::try_from(*text).unwrap()).collect();
        filters.iter().collect()
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        assert!(list(&[]).is_empty());
        assert!(!list(&[]).matches_any("a"));
    }

    #[test]
    fn one_matching_filter_among_many_is_enough() {
        let filters = list(&["a/b", "a/+/c", "d/#", "$share/g/e"]);
        for topic in ["a/b", "a/x/c", "d", "d/e/f", "e"] {
            assert!(filters.matches_any(topic), "{topic}");
        }
        for topic in ["a", "a/x", "a/x/d", "g", "", "/", "$share/g/e"] {
            assert!(!filters.matches_any(topic), "{topic}");
        }
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_leading_wildcard_does_not_select_names_that_begin_with_a_dollar() {
        assert!(!list(&["#", "+/x"]).matches_any("$SYS/x"));
        assert!(list(&["$SYS/+"]).matches_any("$SYS/x"));
    }
}
