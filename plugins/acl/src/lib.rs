//! Rules on topics that come with a client's credentials, from a server or in a token: the first that is about
//! what the client wants decides.
//!
//! `%c` in a rule's topic is the Client Identifier, `%u` the User Name. Where these are empty, or have `/`, `+` or
//! `#` in them, the rule allows nothing and denies whatever it could be about: nobody chooses a name that
//! widens a rule.

mod rights;

use serde::{Deserialize, Serialize};
use tidegate_plugin::{Action, topic};

pub use rights::Rights;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub permission: Permission,
    #[serde(default)]
    pub action: Actions,
    /// A Topic Filter.
    pub topic: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actions {
    Publish,
    Subscribe,
    #[default]
    All,
}

/// Of the client that a rule is about.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub client: &'a str,
    pub user: &'a str,
}

/// What the first rule says that is about this; none where none is. `topic` is a Topic Filter where the client
/// wants to subscribe. To be allowed, a filter has to be within the rule's; it is denied where it has a topic in
/// common with the rule's.
pub fn decide(rules: &[Rule], action: Action, topic: &str, names: Names<'_>) -> Option<Permission> {
    let wanted = topic::without_share(topic);
    let is_about = |rule: &&Rule| {
        rule.action.include(action)
            && match (names.fill(&rule.topic), rule.permission) {
                (Some(filter), Permission::Allow) => covers(&filter, wanted),
                (Some(filter), Permission::Deny) => overlaps(&filter, wanted),
                (None, Permission::Allow) => false,
                (None, Permission::Deny) => overlaps(&with_wildcards(&rule.topic), wanted),
            }
    };
    rules.iter().find(is_about).map(|rule| rule.permission)
}

/// What is wrong with these rules, for a log or a client; none where they can be used.
pub fn problem(rules: &[Rule]) -> Option<String> {
    let bad = rules.iter().position(|rule| {
        rule.topic.starts_with("$share/") || !topic::is_filter(&with_wildcards(&rule.topic))
    })?;
    Some(format!("the topic of rule {} is no Topic Filter", bad + 1))
}

impl Actions {
    fn include(self, action: Action) -> bool {
        match self {
            Actions::All => true,
            Actions::Publish => action == Action::Publish,
            Actions::Subscribe => action != Action::Publish,
        }
    }
}

impl Names<'_> {
    /// None where a name is needed that does not do.
    fn fill(&self, pattern: &str) -> Option<String> {
        let mut filled = String::with_capacity(pattern.len() + self.client.len());
        let mut rest = pattern;
        while let Some(place) = rest.find('%') {
            let (before, from) = rest.split_at(place);
            filled.push_str(before);
            let name = match from.as_bytes().get(1) {
                Some(b'c') => Some(self.client),
                Some(b'u') => Some(self.user),
                _ => None,
            };
            match name {
                Some(name) if is_level(name) => filled.push_str(name),
                Some(_) => return None,
                None => filled.push('%'),
            }
            rest = &from[if name.is_some() { 2 } else { 1 }..];
        }
        filled.push_str(rest);
        Some(filled)
    }
}

fn is_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '+', '#', '\0'])
}

/// Each level with a pattern as one that may be anything.
fn with_wildcards(pattern: &str) -> String {
    let level =
        |level: &str| if level.contains("%c") || level.contains("%u") { "+" } else { level }.to_owned();
    pattern.split('/').map(level).collect::<Vec<_>>().join("/")
}

/// Whether every topic that `wanted` matches is one of `filter`'s.
fn covers(filter: &str, wanted: &str) -> bool {
    if wanted.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = wanted.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (level, Some(wanted)) if level == wanted => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether there is a topic that both match.
fn overlaps(filter: &str, wanted: &str) -> bool {
    let is_wild = |filter: &str| filter.starts_with(['+', '#']);
    if (is_wild(filter) && wanted.starts_with('$')) || (is_wild(wanted) && filter.starts_with('$')) {
        return false;
    }
    let (mut ours, mut theirs) = (filter.split('/'), wanted.split('/'));
    loop {
        match (ours.next(), theirs.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(ours), Some(theirs)) if ours == "+" || theirs == "+" || ours == theirs => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Names<'_> = Names { client: "c1", user: "ada" };

    fn rules(rules: serde_json::Value) -> Vec<Rule> {
        serde_json::from_value(rules).expect("rules")
    }

    fn allow(topic: &str) -> Rule {
        Rule { permission: Permission::Allow, action: Actions::All, topic: topic.to_owned() }
    }

    fn deny(topic: &str) -> Rule {
        Rule { permission: Permission::Deny, ..allow(topic) }
    }

    fn may(rule: Rule, action: Action, topic: &str) -> bool {
        decide(&[rule], action, topic, ADA) == Some(Permission::Allow)
    }

    #[test]
    fn the_first_rule_that_is_about_it_decides() {
        let rules = rules(serde_json::json!([
            { "permission": "deny", "action": "publish", "topic": "a/secret" },
            { "permission": "allow", "topic": "a/#" },
            { "permission": "deny", "topic": "a/b" },
        ]));
        let decide = |action, topic| decide(&rules, action, topic, ADA);
        assert_eq!(decide(Action::Publish, "a/secret"), Some(Permission::Deny));
        assert_eq!(decide(Action::Subscribe, "a/secret"), Some(Permission::Allow));
        assert_eq!(decide(Action::Deliver, "a/secret"), Some(Permission::Allow));
        assert_eq!(decide(Action::Publish, "a/b"), Some(Permission::Allow));
        assert_eq!(decide(Action::Publish, "b"), None);
    }

    #[test]
    fn a_filter_is_allowed_within_a_rule_and_denied_where_it_meets_one() {
        for (rule, wanted, within, meets) in [
            ("a/#", "a/b", true, true),
            ("a/#", "a", true, true),
            ("a/#", "a/+/#", true, true),
            ("a/#", "#", false, true),
            ("a/+", "a/b", true, true),
            ("a/+", "a/+", true, true),
            ("a/+", "a/#", false, true),
            ("a/+", "a", false, false),
            ("a/b", "a/+", false, true),
            ("a/b", "+/b", false, true),
            ("a/b", "a/b/c", false, false),
            ("a/b", "b/+", false, false),
            ("#", "$SYS/x", false, false),
            ("$SYS/#", "#", false, false),
            ("$SYS/#", "$SYS/x", true, true),
            ("#", "$share/g/a", true, true),
            ("a/#", "$share/g/b", false, false),
        ] {
            assert_eq!(may(allow(rule), Action::Subscribe, wanted), within, "{rule} {wanted}");
            let denied = decide(&[deny(rule)], Action::Subscribe, wanted, ADA).is_some();
            assert_eq!(denied, meets, "{rule} {wanted}");
        }
    }

    #[test]
    fn names_stand_in_for_their_patterns_and_cannot_widen_a_rule() {
        assert!(may(allow("d/%c/%u/x%c"), Action::Publish, "d/c1/ada/xc1"));
        assert!(!may(allow("d/%c"), Action::Publish, "d/c2"));
        assert!(may(allow("100%/%x"), Action::Publish, "100%/%x"));
        for name in ["", "#", "+", "a/b"] {
            let names = Names { client: name, user: "ada" };
            for wanted in [format!("d/{name}"), "d/other".to_owned(), "d/#".to_owned()] {
                assert_eq!(
                    decide(&[allow("d/%c")], Action::Subscribe, &wanted, names),
                    None,
                    "{name} {wanted}"
                );
            }
            let denied = decide(&[deny("d/%c")], Action::Subscribe, "d/other", names);
            assert_eq!(denied, Some(Permission::Deny), "{name}");
        }
        let percent = Names { client: "%u", user: "ada" };
        assert_eq!(decide(&[allow("d/%c")], Action::Publish, "d/ada", percent), None);
        assert_eq!(decide(&[allow("d/%c")], Action::Publish, "d/%u", percent), Some(Permission::Allow));
    }

    #[test]
    fn rules_that_are_no_filters_are_told_apart() {
        assert_eq!(problem(&[allow("a/%c/#"), deny("x%uy")]), None);
        assert_eq!(problem(&[allow("a"), allow("a/#/b")]).unwrap(), "the topic of rule 2 is no Topic Filter");
        for bad in ["", "a+", "$share/g/a"] {
            assert!(problem(&[allow(bad)]).is_some(), "{bad}");
        }
    }
}
