//! What a plugin finds around it where there is no broker: sessions and retained messages that lookups see, and
//! the answers to its HTTP requests.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::bindings::tidegate::plugin::http::{Error, Request, Response};
use super::answer::{Table, put_bytes};
use super::fields::Fields;
use super::question::{each, message, other_client};
use crate::hook::{ClientStatus, Sessions};
use crate::message::ApplicationMessage;
use crate::topic::{TopicFilter, TopicName};

/// What a file or a case says of it; what it does not name stays as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    sessions: Option<Vec<ClientStatus>>,
    retained: Option<Vec<Arc<ApplicationMessage>>>,
    http: Option<Vec<Result<Response, Error>>>,
}

impl Around {
    pub(super) fn read(fields: &Fields<'_>) -> Around {
        let list = |key: &str| fields.list(key);
        Around {
            sessions: list("sessions").map(|list| each(fields, "sessions", "client", list, session)),
            retained: list("retained").map(|list| {
                each(fields, "retained", "topic", list, |fields| Some(Arc::new(message(fields))))
            }),
            http: list("http").map(|list| each(fields, "http", "body", list, answer)),
        }
    }

    /// What is named here takes the place of what was there.
    pub(super) fn take_over(&mut self, other: &Around) {
        let Around { sessions, retained, http } = other.clone();
        self.sessions = sessions.or(self.sessions.take());
        self.retained = retained.or(self.retained.take());
        self.http = http.or(self.http.take());
    }

    pub(super) fn session(&self, client_identifier: &str) -> Option<ClientStatus> {
        let mut sessions = self.sessions.iter().flatten();
        sessions.find(|session| &*session.client_identifier == client_identifier).cloned()
    }

    pub(super) fn sessions(&self, after: Option<&str>, limit: usize, only: Sessions) -> Vec<Arc<str>> {
        let sessions = self.sessions.iter().flatten();
        let meant = sessions.filter(|session| only == Sessions::All || session.client.is_some());
        let mut names: Vec<Arc<str>> = meant.map(|session| session.client_identifier.clone()).collect();
        names.sort();
        names.retain(|name| after.is_none_or(|after| &**name > after));
        names.truncate(limit);
        names
    }

    pub(super) fn retained(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        self.retained.iter().flatten().find(|message| message.topic == *topic).cloned()
    }

    pub(super) fn retained_topics(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName> {
        let topics = self.retained.iter().flatten().map(|message| &message.topic);
        let mut topics: Vec<TopicName> =
            topics.filter(|topic| filter.matches(topic) && granted(topic)).cloned().collect();
        let levels = |topic: &TopicName| topic.as_str().split('/').map(str::to_owned).collect::<Vec<_>>();
        topics.sort_by_key(&levels);
        topics.retain(|topic| after.is_none_or(|after| levels(topic) > levels(after)));
        topics.truncate(limit);
        topics
    }

    /// To the request of this number, from 0; the last answer is repeated.
    pub(super) fn answer(&self, number: usize) -> Result<Response, Error> {
        let answers = self.http.as_deref().unwrap_or_default();
        let none = || Err(Error::Failed("the case has no answer to an HTTP request".to_owned()));
        answers.get(number).or(answers.last()).cloned().unwrap_or_else(none)
    }
}

fn session(fields: &Fields<'_>) -> Option<ClientStatus> {
    let client = other_client(fields);
    let is_connected = fields.boolean("connected").unwrap_or(true);
    Some(ClientStatus {
        client_identifier: client.client_identifier.clone(),
        client: is_connected.then_some(client),
        subscriptions: fields.number("subscriptions").unwrap_or_default(),
        queued: fields.number("queued").unwrap_or_default(),
        in_flight: 0,
        expiry_interval: fields.number("session-expiry-interval").unwrap_or_default(),
    })
}

fn answer(fields: &Fields<'_>) -> Option<Result<Response, Error>> {
    let error = fields.text("error");
    let response = Response {
        status: fields.number("status").unwrap_or(200),
        headers: headers(fields),
        body: fields.bytes("body").unwrap_or_default().to_vec(),
    };
    let Some(error) = error else { return Some(Ok(response)) };
    let why = || "as the case has it".to_owned();
    Some(Err(match error {
        "denied" => Error::Denied,
        "invalid" => Error::Invalid(why()),
        "timeout" => Error::Timeout,
        "too-large" => Error::TooLarge,
        "busy" => Error::Busy,
        "failed" => Error::Failed(why()),
        _ => {
            return fields.problem("error", "is none of denied, invalid, timeout, too-large, busy, failed");
        }
    }))
}

fn headers(fields: &Fields<'_>) -> Vec<(String, String)> {
    let pairs = fields.properties("headers").unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A request as an effect of a call; names of headers are in lower case.
pub(super) fn shown_request(request: &Request) -> Value {
    let mut table = Table::new();
    table.insert("method".into(), request.method.clone().into());
    table.insert("url".into(), request.url.clone().into());
    let headers: Table =
        request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into())).collect();
    table.insert("headers".into(), headers.into());
    put_bytes(&mut table, "body", &request.body);
    Value::Object(table)
}

/// A number for the metrics, as an effect of a call. `kind` is the name of the function.
pub(super) fn shown_metric(kind: &str, name: &str, labels: &[(String, String)], value: Value) -> Value {
    let labels: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({ "name": name, kind: value, "labels": labels })
}

/// A whole number where it is one, as cases write them.
pub(super) fn as_written(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && (0.0..EXACT).contains(&value) {
        true => (value as u64).into(),
        false => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn read(table: &Value) -> (Around, Vec<String>) {
        let problems = RefCell::default();
        let fields = Fields::new(table.as_object().unwrap(), "case", &problems);
        let around = Around::read(&fields);
        fields.finish();
        (around, problems.into_inner())
    }

    fn names(names: &[Arc<str>]) -> Vec<&str> {
        names.iter().map(|name| &**name).collect()
    }

    #[test]
    fn sessions_are_listed_in_order_and_found_by_their_name() {
        let (around, problems) = read(&json!({"sessions": [
            "c3", {"client": "c1", "user-name": "ann", "queued": 2}, {"client": "c2", "connected": false},
        ]}));
        assert_eq!(problems, [""; 0]);
        assert_eq!(names(&around.sessions(None, 9, Sessions::All)), ["c1", "c2", "c3"]);
        assert_eq!(names(&around.sessions(Some("c1"), 9, Sessions::Connected)), ["c3"]);
        assert_eq!(names(&around.sessions(None, 1, Sessions::All)), ["c1"]);
        let first = around.session("c1").unwrap();
        assert_eq!((first.queued, first.client.unwrap().user_name.as_deref()), (2, Some("ann")));
        assert!(around.session("c2").unwrap().client.is_none() && around.session("c4").is_none());
    }

    #[test]
    fn retained_messages_are_found_by_topic_and_matched_by_filter() {
        let (around, problems) = read(&json!({"retained": [
            {"topic": "a/c", "payload": "2"}, {"topic": "a/b", "payload": "1"}, {"topic": "b"},
        ]}));
        assert_eq!(problems, [""; 0]);
        let topic = |text: &str| TopicName::try_from(text).unwrap();
        assert_eq!(around.retained(&topic("a/b")).unwrap().payload, "1");
        let filter = TopicFilter::try_from("a/#").unwrap();
        let found = |after, limit| around.retained_topics(&filter, after, limit, &|_| true);
        assert_eq!(found(None, 9), [topic("a/b"), topic("a/c")]);
        assert_eq!(found(Some(&topic("a/b")), 9), [topic("a/c")]);
        assert_eq!(around.retained_topics(&filter, None, 9, &|name| *name != topic("a/b")), [topic("a/c")]);
    }

    #[test]
    fn requests_are_answered_in_their_order_and_the_last_answer_again() {
        let (around, problems) = read(&json!({"http": [{"status": 503}, {"error": "timeout"}, "hello"]}));
        assert_eq!(problems, [""; 0]);
        assert_eq!(around.answer(0).unwrap().status, 503);
        assert_eq!(around.answer(1), Err(Error::Timeout));
        assert_eq!([around.answer(2).unwrap().body, around.answer(7).unwrap().body], [b"hello", b"hello"]);
        assert!(matches!(Around::default().answer(0), Err(Error::Failed(_))));
        let (_, problems) = read(&json!({"http": [{"error": "late"}, {"state": 200}]}));
        assert_eq!(problems.len(), 2, "{problems:#?}");
    }
}
