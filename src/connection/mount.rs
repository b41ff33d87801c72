//! A mount prefix: what stands before every topic and filter of a client, which does not see it.

use std::sync::Arc;

use crate::packet::PublishProperties;
use crate::topic::{InvalidTopic, TopicFilter, TopicName};

/// Beyond here there are only whole topics, on the client's side only the rest of them.
#[derive(Clone, Debug)]
pub(super) struct Mount(Arc<String>);

impl Mount {
    pub(super) fn new(prefix: &TopicName) -> Mount {
        Mount(format!("{prefix}/").into())
    }

    /// The whole topic of the client's.
    ///
    /// # Errors
    /// Where that is longer than a topic may be.
    pub(super) fn whole(&self, topic: &str) -> Result<TopicName, InvalidTopic> {
        TopicName::try_from(format!("{}{topic}", self.0).as_str())
    }

    /// The same of a filter; one of a Shared Subscription keeps its ShareName.
    pub(super) fn whole_filter(&self, filter: &TopicFilter) -> Result<TopicFilter, InvalidTopic> {
        let whole = match filter.share_name() {
            None => format!("{}{}", self.0, filter.filter()),
            Some(name) => format!("$share/{name}/{}{}", self.0, filter.filter()),
        };
        TopicFilter::try_from(whole.as_str())
    }

    /// Properties with the Response Topic as the client sees it; none where they can stay as they are.
    pub(super) fn seen_properties(&self, properties: &PublishProperties) -> Option<PublishProperties> {
        let topic = properties.response_topic.as_deref()?;
        let seen = self.seen(topic);
        (seen != topic).then(|| PublishProperties { response_topic: Some(seen.into()), ..properties.clone() })
    }

    /// Properties with the whole Response Topic.
    ///
    /// # Errors
    /// Where that is longer than a topic may be.
    pub(super) fn whole_properties(&self, properties: &mut PublishProperties) -> Result<(), InvalidTopic> {
        if let Some(topic) = &mut properties.response_topic {
            *topic = self.whole(topic)?.into_inner();
        }
        Ok(())
    }

    /// What the client sees of a topic. One that is not below the prefix, which a hook can have sent it, is shown
    /// whole.
    pub(super) fn seen<'t>(&self, topic: &'t str) -> &'t str {
        // Nothing is left of the prefix itself, and an empty topic cannot be sent.
        topic.strip_prefix(self.0.as_str()).filter(|rest| !rest.is_empty()).unwrap_or(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount() -> Mount {
        Mount::new(&TopicName::try_from("tenants/a").unwrap())
    }

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    #[test]
    fn topics_and_filters_get_the_prefix_and_lose_it_again() {
        assert_eq!(mount().whole("x/y").unwrap().as_str(), "tenants/a/x/y");
        assert_eq!(mount().seen("tenants/a/x/y"), "x/y");
        assert_eq!(mount().whole_filter(&filter("#")).unwrap(), filter("tenants/a/#"));
        let shared = mount().whole_filter(&filter("$share/group/+/y")).unwrap();
        assert_eq!(shared, filter("$share/group/tenants/a/+/y"));
    }

    #[test]
    fn nothing_reaches_out_of_the_prefix() {
        for reaching in ["$SYS/#", "/", "../b", "+/b/#"] {
            let whole = mount().whole_filter(&filter(reaching)).unwrap();
            assert!(whole.as_str().starts_with("tenants/a/"), "{whole}");
        }
        assert_eq!(mount().seen("tenants/ab/x"), "tenants/ab/x", "another tenant");
        assert_eq!(mount().seen("tenants/a/"), "tenants/a/");
    }

    #[test]
    fn a_topic_that_is_too_long_with_the_prefix_is_refused() {
        assert!(mount().whole(&"x".repeat(65_530)).is_err());
    }
}
