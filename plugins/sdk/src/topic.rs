//! Topic Names and Topic Filters.

/// Whether a Topic Filter matches a Topic Name. `$share/{ShareName}/` is looked through, and a wildcard
/// at the first level does not match a topic that begins with `$` [MQTT-4.7.2-1].
///
/// ```
/// use tidegate_plugin::topic;
/// assert!(topic::matches("a/+/c/#", "a/b/c"));
/// assert!(!topic::matches("a/+", "a/b/c"));
/// assert!(!topic::matches("#", "$sys/1"));
/// assert!(topic::matches("$share/workers/a/#", "a/b"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter = without_share(filter);
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether this is a legal Topic Filter: not empty, at most 65,535 bytes, no null, wildcards alone in
/// their level, `#` only as the last [MQTT-4.7.1-1, 4.7.1-2, 4.7.3].
///
/// ```
/// use tidegate_plugin::topic;
/// assert!(topic::is_filter("a/+/#") && topic::is_filter("$share/g/a"));
/// assert!(!topic::is_filter("") && !topic::is_filter("a/#/b") && !topic::is_filter("a+"));
/// assert!(!topic::is_filter("$share/g") && !topic::is_filter("$share/+/a"));
/// ```
pub fn is_filter(filter: &str) -> bool {
    if filter.len() > 65_535 || filter.contains('\0') {
        return false;
    }
    let rest = match filter.strip_prefix("$share/") {
        None => filter,
        Some(shared) => match shared.split_once('/') {
            Some((name, rest)) if !name.is_empty() && !name.contains(['+', '#']) => rest,
            _ => return false,
        },
    };
    let last = rest.split('/').count() - 1;
    !rest.is_empty()
        && rest.split('/').enumerate().all(|(position, level)| match level {
            "+" => true,
            "#" => position == last,
            _ => !level.contains(['+', '#']),
        })
}

/// Whether every topic that `narrow` matches is matched by `wide`, both without `$share/{ShareName}/`.
///
/// ```
/// use tidegate_plugin::topic;
/// assert!(topic::covers("a/#", "a/+/b") && topic::covers("a/#", "a"));
/// assert!(!topic::covers("a/+", "a/#") && !topic::covers("#", "$SYS/#"));
/// ```
pub fn covers(wide: &str, narrow: &str) -> bool {
    if wide.starts_with(['+', '#']) && narrow.starts_with('$') {
        return false;
    }
    let mut narrow_levels = narrow.split('/');
    for wide_level in wide.split('/') {
        match (wide_level, narrow_levels.next()) {
            ("#", _) => return true,
            // `a/#` matches `a`, which `a/+` does not.
            ("+", Some(level)) if level != "#" => {}
            (wide, Some(narrow)) if wide == narrow => {}
            _ => return false,
        }
    }
    narrow_levels.next().is_none()
}

/// Whether there is a topic that both match, both without `$share/{ShareName}/`.
///
/// ```
/// use tidegate_plugin::topic;
/// assert!(topic::overlap("a/+/c", "a/b/+") && topic::overlap("a/#", "a"));
/// assert!(!topic::overlap("a/+", "a/b/c") && !topic::overlap("#", "$SYS/#"));
/// ```
pub fn overlap(a: &str, b: &str) -> bool {
    let from_the_first = |filter: &str| filter.starts_with(['+', '#']);
    if from_the_first(a) && b.starts_with('$') || from_the_first(b) && a.starts_with('$') {
        return false;
    }
    let (mut a_levels, mut b_levels) = (a.split('/'), b.split('/'));
    loop {
        match (a_levels.next(), b_levels.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

/// The filter behind `$share/{ShareName}/`, or the filter itself.
pub fn without_share(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')).map_or(filter, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::{covers, matches, overlap, without_share};

    #[test]
    fn a_number_sign_matches_the_parent_too() {
        assert!(matches("a/#", "a"));
        assert!(matches("#", "a/b"));
        assert!(!matches("a/b/#", "a"));
    }

    #[test]
    fn an_empty_level_is_a_level() {
        assert!(matches("/+", "/"));
        assert!(!matches("+", "/"));
        assert!(matches("a//b", "a//b"));
    }

    #[test]
    fn a_share_name_is_not_part_of_the_filter() {
        assert_eq!(without_share("$share/group/a/b"), "a/b");
        assert_eq!(without_share("$share/group"), "$share/group");
        assert_eq!(without_share("a/b"), "a/b");
    }

    #[test]
    fn a_filter_covers_another_where_it_matches_all_of_its_topics() {
        for (wide, narrow, expected) in [
            ("a/#", "a", true),
            ("a/#", "a/+/b", true),
            ("a/+", "a/#", false),
            ("a/+", "a/+", true),
            ("a/b", "a/+", false),
            ("+/b", "$a/b", false),
            ("#", "$a/b", false),
            ("$a/#", "$a/b", true),
            ("a", "a/b", false),
            ("a/b", "a", false),
        ] {
            assert_eq!(covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn filters_overlap_where_one_topic_matches_both() {
        for (a, b, expected) in [
            ("a/#", "a", true),
            ("a/+/c", "a/b/+", true),
            ("a/+/c", "a/b/d", false),
            ("a/+", "a/b/c", false),
            ("#", "$a", false),
            ("+", "$a", false),
            ("$a/+", "$a/b", true),
            ("a/b/#", "a", false),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} {b}");
            assert_eq!(overlap(b, a), expected, "{b} {a}");
        }
    }
}
