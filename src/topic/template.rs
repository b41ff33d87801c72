//! Templates of Topic Names: `sensors/{id}/temperature`.
//!
//! A template is a filter to subscribe to, finds the values in names that match it, and makes names of values. A parameter
//! is a whole level: within one, values could not be told from the text around them by a filter.

use std::fmt;

use super::{InvalidTopic, TopicFilter, TopicName};

/// A Topic Name with parameters in place of levels.
///
/// ```
/// use tidegate::topic::{TopicName, TopicTemplate};
///
/// let template = TopicTemplate::try_from("sensors/{id}/{kind}")?;
/// assert_eq!(template.filter().as_str(), "sensors/+/+");
///
/// let name = TopicName::try_from("sensors/7/temperature")?;
/// let values = template.values(&name).unwrap();
/// assert_eq!(values.get("id"), Some("7"));
///
/// let of_one = template.with("id", "7")?;
/// assert_eq!(of_one.filter().as_str(), "sensors/7/+");
/// assert_eq!(of_one.with("kind", "humidity")?.name()?.as_str(), "sensors/7/humidity");
/// # Ok::<(), tidegate::topic::InvalidTemplate>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    levels: Vec<Level>,
    /// Ends with `#`.
    open: bool,
    filter: TopicFilter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(String),
    Parameter(String),
}

/// What is wrong with a template, or with a value for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("{0}")]
    Topic(#[from] InvalidTopic),
    #[error("level `{0}` is no parameter: a parameter is a whole level, such as {{name}}")]
    Level(String),
    #[error("parameter {{{0}}} stands there twice")]
    Twice(String),
    #[error("there is no parameter {{{0}}}")]
    Unknown(String),
    #[error("parameter {{{0}}} has no value")]
    Missing(String),
    #[error("`{0}` is more than one level, or has a wildcard")]
    Value(String),
    #[error("`$share` begins a Shared Subscription and no topic")]
    Shared,
    #[error("`#` stands for levels that are not known")]
    Open,
}

/// The values of a template's parameters in a name, in the order of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateValues<'a> {
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> TemplateValues<'a> {
    pub fn get(&self, parameter: &str) -> Option<&'a str> {
        self.values.iter().find(|(name, _)| *name == parameter).map(|(_, value)| *value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().copied()
    }
}

impl TopicTemplate {
    fn new(levels: Vec<Level>, open: bool) -> Result<TopicTemplate, InvalidTemplate> {
        let filter = TopicFilter::try_from(&*join(&levels, open, |_| "+"))?;
        if filter.share_name().is_some() {
            return Err(InvalidTemplate::Shared);
        }
        Ok(TopicTemplate { levels, open, filter })
    }

    /// What to subscribe to: parameters without a value are `+`.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The values in a name; `None` where it does not match.
    pub fn values<'a>(&'a self, name: &'a TopicName) -> Option<TemplateValues<'a>> {
        if !self.filter.matches(name) {
            return None;
        }
        let levels = self.levels.iter().zip(name.levels());
        let values = levels.filter_map(|(level, value)| match level {
            Level::Parameter(parameter) => Some((&**parameter, value)),
            Level::Text(_) => None,
        });
        Some(TemplateValues { values: values.collect() })
    }

    /// The template with a value in place of a parameter.
    ///
    /// # Errors
    /// Where there is no such parameter, or the value is no single level.
    pub fn with(&self, parameter: &str, value: &str) -> Result<TopicTemplate, InvalidTemplate> {
        if value.contains(['/', '+', '#', '\0']) {
            return Err(InvalidTemplate::Value(value.to_owned()));
        }
        let mut levels = self.levels.clone();
        let is_asked = |level: &&mut Level| matches!(level, Level::Parameter(name) if name == parameter);
        match levels.iter_mut().find(is_asked) {
            Some(level) => *level = Level::Text(value.to_owned()),
            None => return Err(InvalidTemplate::Unknown(parameter.to_owned())),
        }
        TopicTemplate::new(levels, self.open)
    }

    /// The name that it has become.
    ///
    /// # Errors
    /// Where a parameter has no value yet, it ends with `#`, or there is nothing in it.
    pub fn name(&self) -> Result<TopicName, InvalidTemplate> {
        if let Some(missing) = self.parameters().next() {
            return Err(InvalidTemplate::Missing(missing.to_owned()));
        }
        if self.open {
            return Err(InvalidTemplate::Open);
        }
        Ok(TopicName::try_from(&*join(&self.levels, false, |name| name))?)
    }

    /// The parameters without a value, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Parameter(name) => Some(&**name),
            Level::Text(_) => None,
        })
    }
}

impl TryFrom<&str> for TopicTemplate {
    type Error = InvalidTemplate;

    fn try_from(text: &str) -> Result<TopicTemplate, InvalidTemplate> {
        let (text, open) = match text.strip_suffix("/#") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut levels = Vec::new();
        for level in text.split('/') {
            let level = parse(level)?;
            if let Level::Parameter(name) = &level
                && levels.contains(&level)
            {
                return Err(InvalidTemplate::Twice(name.clone()));
            }
            levels.push(level);
        }
        TopicTemplate::new(levels, open)
    }
}

fn join<'a>(levels: &'a [Level], open: bool, parameter: impl Fn(&'a str) -> &'a str) -> String {
    let level = |level: &'a Level| match level {
        Level::Text(text) => &**text,
        Level::Parameter(name) => parameter(name),
    };
    let all: Vec<&str> = levels.iter().map(level).chain(open.then_some("#")).collect();
    all.join("/")
}

fn parse(level: &str) -> Result<Level, InvalidTemplate> {
    let name = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if !name.is_empty() && !name.contains(['{', '}', '+', '#']) => {
            Ok(Level::Parameter(name.to_owned()))
        }
        None if !level.contains(['{', '}', '+', '#']) => Ok(Level::Text(level.to_owned())),
        _ => Err(InvalidTemplate::Level(level.to_owned())),
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, level) in self.levels.iter().enumerate() {
            let slash = if place > 0 { "/" } else { "" };
            match level {
                Level::Text(text) => write!(f, "{slash}{text}")?,
                Level::Parameter(name) => write!(f, "{slash}{{{name}}}")?,
            }
        }
        f.write_str(if self.open { "/#" } else { "" })
    }
}

impl fmt::Debug for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicTemplate({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> TopicTemplate {
        TopicTemplate::try_from(text).unwrap()
    }

    fn name(text: &str) -> TopicName {
        TopicName::try_from(text).unwrap()
    }

    #[test]
    fn values_are_found_in_names_that_match() {
        let template = template("A/{x}/B/{y}/#");
        assert_eq!(template.filter().as_str(), "A/+/B/+/#");
        let found = name("A/1/B//c/d");
        let values = template.values(&found).unwrap();
        assert_eq!(values.iter().collect::<Vec<_>>(), [("x", "1"), ("y", "")]);
        assert_eq!(values.get("z"), None);
        assert_eq!(template.values(&name("A/1/C/2")), None);
    }

    #[test]
    fn names_are_made_of_values_and_only_of_all_of_them() {
        let template = template("A/{x}/{y}");
        assert_eq!(template.name(), Err(InvalidTemplate::Missing("x".to_owned())));
        let half = template.with("x", "1").unwrap();
        assert_eq!((half.to_string().as_str(), half.filter().as_str()), ("A/1/{y}", "A/1/+"));
        assert_eq!(half.with("y", "2").unwrap().name(), Ok(name("A/1/2")));
    }

    #[test]
    fn no_value_reaches_into_another_level() {
        for value in ["a/b", "+", "#", "a\0"] {
            let error = template("A/{x}").with("x", value);
            assert_eq!(error, Err(InvalidTemplate::Value(value.to_owned())));
        }
        assert_eq!(template("A/{x}").with("y", "1"), Err(InvalidTemplate::Unknown("y".to_owned())));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["", "a/{x", "a/x}", "a/{}", "a/{x}y", "a/+", "a/#/b", "#", "{x}/{x}", "a/{b/c}"] {
            assert!(TopicTemplate::try_from(text).is_err(), "{text}");
        }
        assert_eq!(template("A/#").name(), Err(InvalidTemplate::Open));
    }

    #[test]
    fn no_value_makes_a_shared_subscription_of_a_template() {
        let error = template("{x}/g/{y}").with("x", "$share");
        assert_eq!(error, Err(InvalidTemplate::Shared));
        assert_eq!(TopicTemplate::try_from("$share/g/{x}"), Err(InvalidTemplate::Shared));
    }
}
