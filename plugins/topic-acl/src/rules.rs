//! What the rules say of a client, an action and a topic.
//!
//! The order is Mosquitto's: the rules of the client's user, then the patterns; of each those that deny come
//! first, and the first that speaks of topic and action decides. So a `topic` rule that allows beats a `pattern`
//! that denies.

use std::borrow::Cow;
use std::collections::HashMap;

use tidegate_plugin::topic;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    pub(crate) filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
    /// no rule speaks of it
    Unmentioned,
}

/// Whom a rule is asked about.
pub(crate) struct Who<'a> {
    pub(crate) user_name: Option<&'a str>,
    pub(crate) client_identifier: &'a str,
}

#[derive(Default)]
pub(crate) struct Rules {
    anonymous: Vec<Rule>,
    users: HashMap<String, Vec<Rule>>,
    patterns: Vec<Rule>,
}

impl Rules {
    /// Without a user: a rule for clients without a User Name.
    pub(crate) fn add(&mut self, user: Option<&str>, rule: Rule) {
        match user {
            None => insert(&mut self.anonymous, rule),
            Some(user) => insert(self.users.entry(user.to_owned()).or_default(), rule),
        }
    }

    pub(crate) fn add_pattern(&mut self, rule: Rule) {
        insert(&mut self.patterns, rule);
    }

    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.anonymous.len() + self.patterns.len() + self.users.values().map(Vec::len).sum::<usize>()
    }

    pub(crate) fn may_write(&self, who: &Who<'_>, topic: &str) -> Verdict {
        self.first(who, Access::Write, |_, filter| topic::matches(filter, topic))
    }

    pub(crate) fn may_read(&self, who: &Who<'_>, topic: &str) -> Verdict {
        self.first(who, Access::Read, |_, filter| topic::matches(filter, topic))
    }

    /// Whether it may read every topic that the filter matches: nothing that is denied is among them, and one
    /// rule allows them all.
    pub(crate) fn may_read_all_of(&self, who: &Who<'_>, wanted: &str) -> Verdict {
        self.first(who, Access::Read, |access, filter| match access {
            Access::Deny => topic::overlap(filter, wanted),
            _ => topic::covers(filter, wanted),
        })
    }

    /// What the first rule says that gives or denies this access and is `about` the topic.
    fn first(&self, who: &Who<'_>, access: Access, about: impl Fn(Access, &str) -> bool) -> Verdict {
        for rule in self.of_user(who.user_name) {
            if rule.concerns(access) && about(rule.access, &rule.filter) {
                return rule.verdict();
            }
        }
        if !self.patterns.is_empty() && who.has_wildcards() {
            return Verdict::Deny;
        }
        for rule in &self.patterns {
            let Some(filter) = who.fill_in(&rule.filter) else { continue };
            if rule.concerns(access) && about(rule.access, &filter) {
                return rule.verdict();
            }
        }
        Verdict::Unmentioned
    }

    fn of_user(&self, user_name: Option<&str>) -> &[Rule] {
        match user_name {
            None => &self.anonymous,
            Some(name) => self.users.get(name).map_or(&[], Vec::as_slice),
        }
    }
}

/// Rules that deny stand before those that allow.
fn insert(rules: &mut Vec<Rule>, rule: Rule) {
    let place = match rule.access {
        Access::Deny => rules.partition_point(|rule| rule.access == Access::Deny),
        _ => rules.len(),
    };
    rules.insert(place, rule);
}

impl Rule {
    fn concerns(&self, access: Access) -> bool {
        self.access == access || matches!(self.access, Access::ReadWrite | Access::Deny)
    }

    fn verdict(&self) -> Verdict {
        if self.access == Access::Deny { Verdict::Deny } else { Verdict::Allow }
    }
}

impl Who<'_> {
    /// Who is called `#` would have every topic by the pattern `%u`.
    fn has_wildcards(&self) -> bool {
        self.client_identifier.contains(['+', '#'])
            || self.user_name.is_some_and(|name| name.contains(['+', '#']))
    }

    /// The pattern for this client; none where it needs a User Name and there is none.
    fn fill_in<'p>(&self, pattern: &'p str) -> Option<Cow<'p, str>> {
        if !pattern.contains('%') {
            return Some(Cow::Borrowed(pattern));
        }
        let mut filter = String::with_capacity(pattern.len() + 32);
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('%') {
            filter.push_str(before);
            rest = if let Some(after) = after.strip_prefix('c') {
                filter.push_str(self.client_identifier);
                after
            } else if let Some(after) = after.strip_prefix('u') {
                filter.push_str(self.user_name?);
                after
            } else {
                filter.push('%');
                after
            };
        }
        filter.push_str(rest);
        Some(Cow::Owned(filter))
    }
}
