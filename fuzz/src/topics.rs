//! Topic Names and Filters, and both trees, against the definitions read word by word.

use std::collections::BTreeMap;

use tidegate::topic::{FilterTree, Match, RetainedTree, TopicFilter, TopicName};

use super::choices::Choices;

const LEVELS: [&str; 10] = ["a", "b", "", "+", "#", "$x", "ab", "\u{e9}", "$share", "a+"];

pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let mut subscriptions = Subscriptions::new();
    let mut retained = Retained::new();
    while !choices.is_empty() {
        match choices.below(8) {
            0 | 1 => subscriptions.insert(&mut choices),
            2 => subscriptions.remove(&mut choices),
            3 => subscriptions.look_up(&text(&mut choices)),
            4 | 5 => retained.insert(&mut choices),
            6 => retained.remove(&mut choices),
            _ => retained.look_up(&mut choices),
        }
    }
    subscriptions.remove_all();
}

/// A few levels, or any text.
fn text(choices: &mut Choices<'_>) -> String {
    if choices.flag() {
        return choices.text().to_string();
    }
    let count = choices.below(6) + 1;
    (0..count).map(|_| choices.one_of(&LEVELS)).collect::<Vec<_>>().join("/")
}

fn name(text: &str) -> Option<TopicName> {
    let name = TopicName::try_from(text);
    assert_eq!(name.is_ok(), is_name(text), "{text:?}: {name:?}");
    name.ok()
}

fn filter(text: &str) -> Option<TopicFilter> {
    let filter = TopicFilter::try_from(text);
    assert_eq!(filter.is_ok(), is_filter(text), "{text:?}: {filter:?}");
    filter.ok()
}

/// [MQTT-4.7.0-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-4.7.3-3]
fn is_name(text: &str) -> bool {
    (1..=65_535).contains(&text.len()) && !text.contains(['\0', '+', '#'])
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
fn is_filter(text: &str) -> bool {
    if !(1..=65_535).contains(&text.len()) || text.contains('\0') {
        return false;
    }
    let mut levels: Vec<&str> = text.split('/').collect();
    if levels[0] == "$share" && levels.len() > 1 {
        if levels.len() < 3 || levels[1].is_empty() || levels[1].contains(['+', '#']) {
            return false;
        }
        levels.drain(..2);
        if levels == [""] {
            return false;
        }
    }
    let last = levels.len() - 1;
    let fine = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at == last,
        level => !level.contains(['+', '#']),
    };
    levels.iter().enumerate().all(fine)
}

fn matches(filter: &str, name: &str) -> bool {
    let mut filter: Vec<&str> = filter.split('/').collect();
    if filter[0] == "$share" && filter.len() > 1 {
        filter.drain(..2);
    }
    let name: Vec<&str> = name.split('/').collect();
    let is_wild = |level: &str| level == "+" || level == "#";
    // [MQTT-4.7.2-1]
    !(name[0].starts_with('$') && is_wild(filter[0])) && levels_match(&filter, &name)
}

fn levels_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        ([], []) | (["#"], _) => true,
        ([first, filter @ ..], [level, name @ ..]) => {
            (*first == "+" || first == level) && levels_match(filter, name)
        }
        _ => false,
    }
}

/// The index beside a list of all that is in it.
struct Subscriptions {
    tree: FilterTree<u8, usize>,
    list: BTreeMap<(String, u8), usize>,
    next: usize,
}

impl Subscriptions {
    fn new() -> Subscriptions {
        Subscriptions { tree: FilterTree::new(1), list: BTreeMap::new(), next: 0 }
    }

    fn insert(&mut self, choices: &mut Choices<'_>) {
        let (key, text) = (choices.byte(), text(choices));
        let Some(filter) = filter(&text) else { return };
        self.next += 1;
        assert_eq!(self.tree.insert(&filter, key, self.next), self.list.insert((text, key), self.next));
        assert_eq!(self.tree.len(), self.list.len());
    }

    /// One of those that are there, or any.
    fn remove(&mut self, choices: &mut Choices<'_>) {
        let which = choices.below(self.list.len() + 1);
        let known = self.list.keys().nth(which).cloned();
        let (text, key) = known.unwrap_or_else(|| (text(choices), choices.byte()));
        let Some(filter) = filter(&text) else { return };
        assert_eq!(self.tree.remove(&filter, &key), self.list.remove(&(text, key)));
        assert_eq!(self.tree.len(), self.list.len());
    }

    fn look_up(&self, text: &str) {
        let Some(name) = name(text) else { return };
        let mut found = Vec::new();
        self.tree.for_each_match(&name, |it| match it {
            Match::Plain { key, value } => found.push((None, *key, *value)),
            Match::Shared(group) => {
                let filter = group.filter().to_string();
                found.extend(group.members().iter().map(|(key, value)| (Some(filter.clone()), *key, *value)));
            }
        });
        found.sort();
        let selected = self.list.iter().filter(|((filter, _), _)| matches(filter, text));
        let mut expected: Vec<_> = selected
            .map(|((filter, key), value)| {
                let is_shared = filter.starts_with("$share/");
                (is_shared.then(|| filter.clone()), *key, *value)
            })
            .collect();
        expected.sort();
        assert_eq!(found, expected, "{text:?}");
    }

    fn remove_all(mut self) {
        for ((text, key), value) in std::mem::take(&mut self.list) {
            let filter = filter(&text).expect("it was one when it came");
            assert_eq!(self.tree.remove(&filter, &key), Some(value));
        }
        assert!(self.tree.is_empty());
    }
}

/// The retained messages beside a list of them.
struct Retained {
    tree: RetainedTree<usize>,
    list: BTreeMap<String, usize>,
    next: usize,
}

impl Retained {
    fn new() -> Retained {
        Retained { tree: RetainedTree::new(1), list: BTreeMap::new(), next: 0 }
    }

    fn insert(&mut self, choices: &mut Choices<'_>) {
        let text = text(choices);
        let Some(name) = name(&text) else { return };
        self.next += 1;
        assert_eq!(self.tree.insert(name, self.next), self.list.insert(text, self.next));
        assert_eq!(self.tree.len(), self.list.len());
    }

    fn remove(&mut self, choices: &mut Choices<'_>) {
        let which = choices.below(self.list.len() + 1);
        let text = self.list.keys().nth(which).cloned().unwrap_or_else(|| text(choices));
        let Some(name) = name(&text) else { return };
        assert_eq!(self.tree.get(&name), self.list.get(&text));
        assert_eq!(self.tree.remove(&name), self.list.remove(&text));
        assert_eq!(self.tree.len(), self.list.len());
    }

    /// Page by page, as a new subscription gets them.
    fn look_up(&self, choices: &mut Choices<'_>) {
        let (limit, text) = (choices.below(4) + 1, text(choices));
        let Some(filter) = filter(&text) else { return };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.tree.matches_after(&filter, after.as_ref(), limit);
            assert!(page.len() <= limit);
            found.extend(page.into_iter().map(|(name, message)| (name.to_string(), message)));
            after = next;
            if after.is_none() {
                break;
            }
            assert!(found.len() <= self.list.len(), "pages without end");
        }
        found.sort();
        let selected = self.list.iter().filter(|(name, _)| matches(&text, name));
        let expected: Vec<_> = selected.map(|(name, message)| (name.clone(), *message)).collect();
        assert_eq!(found, expected, "{text:?}");
        for name in self.list.keys() {
            let topic = TopicName::try_from(name.as_str()).expect("it was one when it came");
            assert_eq!(filter.matches(&topic), matches(&text, name));
        }
    }
}
