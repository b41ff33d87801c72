//! The rules as the operator wrote them.

use serde::Deserialize;
use topic_pattern::Pattern;

use crate::Rule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    rules: Vec<RuleSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSettings {
    from: String,
    to: String,
    #[serde(default)]
    on: On,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum On {
    Publish,
    /// and UNSUBSCRIBE, which names what was asked for
    Subscribe,
    #[default]
    Both,
}

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<Vec<Rule>, String> {
        let mut problems = Vec::new();
        if self.rules.is_empty() {
            problems.push(
                "rules: write at least one, as a table [[plugin.settings.rules]] with `from` and `to`"
                    .to_owned(),
            );
        }
        let mut rules = Vec::new();
        for (index, rule) in self.rules.into_iter().enumerate() {
            match Pattern::parse(&rule.from, &rule.to) {
                Ok(pattern) => rules.push(Rule {
                    pattern,
                    publish: rule.on != On::Subscribe,
                    subscribe: rule.on != On::Publish,
                }),
                Err(problem) => problems.push(format!("rules[{index}]: {problem}")),
            }
        }
        if problems.is_empty() { Ok(rules) } else { Err(format!("settings: {}", problems.join("; "))) }
    }
}
