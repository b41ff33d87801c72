//! What the other broker was asked to send: what a bridge does not carry any more is given up there.
//!
//! Its session goes on there for ever, and with it the subscriptions of a configuration that has been changed since. What
//! was asked for is an item of the session here, so that it is known after a restart too.

use bytes::Bytes;

use super::link::Link;
use super::options::BridgeOptions;
use crate::hook::Directory;
use crate::topic::TopicFilter;

const ITEM: &str = "tidegate-bridge-asked";
/// Stands in no filter.
const SEPARATOR: &str = "\0";

impl Link<'_> {
    /// The filters of a former configuration that the session there still has.
    pub(super) fn abandoned(&self) -> Vec<TopicFilter> {
        if !self.greeted.session_present {
            return Vec::new();
        }
        let item = self.broker.session_item(self.client(), ITEM);
        let known = item.map(|item| filters_of(&item, self.options)).unwrap_or_default();
        known
            .into_iter()
            .filter(|filter| self.options.incoming().all(|topic| topic.remote() != filter))
            .collect()
    }

    /// Notes that the session there may have these filters and those of the present configuration.
    pub(super) fn note_asked(&mut self, abandoned: &[TopicFilter]) {
        let wanted = self.options.incoming().map(|topic| topic.remote());
        let item = item_of(self.options, wanted.chain(abandoned));
        let (broker, client) = (self.broker, self.client().clone());
        if broker.session_item(&client, ITEM).as_ref() == Some(&item) {
            // A connection before this one may have noted it in this moment.
            return self
                .promising(|attachment| attachment.committer().iter().for_each(|it| it.promise_all()));
        }
        let noted = self.promising(|_| broker.set_session_item(&client, ITEM.to_owned(), item));
        if let Err(error) = noted {
            let bridge = &self.options.name;
            tracing::warn!(bridge, %error, "what is taken out of this bridge later will not be unsubscribed there");
        }
    }
}

/// Whose session it is, and what it has.
fn item_of<'f>(options: &BridgeOptions, filters: impl Iterator<Item = &'f TopicFilter>) -> Bytes {
    let mut item = format!("{}{SEPARATOR}{}", options.dialer, options.client_identifier);
    for filter in filters {
        item.push_str(SEPARATOR);
        item.push_str(filter.as_str());
    }
    item.into()
}

/// None where they are of another session than that of these options.
fn filters_of(item: &[u8], options: &BridgeOptions) -> Vec<TopicFilter> {
    let Ok(item) = std::str::from_utf8(item) else { return Vec::new() };
    let mut parts = item.split(SEPARATOR);
    let is_same = parts.next() == Some(&*options.dialer.to_string())
        && parts.next() == Some(options.client_identifier.as_ref());
    parts.filter(|_| is_same).filter_map(|filter| TopicFilter::try_from(filter).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::dial::ServerUri;

    #[test]
    fn what_was_asked_for_is_read_again_for_the_same_session_and_no_other() {
        let options = |uri: &str, identifier: &str| {
            BridgeOptions::new("b", uri.parse::<ServerUri>().unwrap().dialer(), identifier.to_owned())
        };
        let filters = ["a/#", "b"].map(|filter| TopicFilter::try_from(filter).unwrap());
        let here = options("mqtt://b.example", "edge");
        let item = item_of(&here, filters.iter());
        assert_eq!(filters_of(&item, &here), filters);
        for other in [options("mqtt://c.example", "edge"), options("mqtt://b.example", "other")] {
            assert_eq!(filters_of(&item, &other), []);
        }
        for wrong in [&b""[..], b"\xFF", b"mqtt://b.example:1883", b"mqtt://b.example:1883\0edge\0a/#/b"] {
            assert_eq!(filters_of(wrong, &here), []);
        }
    }
}
