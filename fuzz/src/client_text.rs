//! What people write for the client: URIs of servers and of proxies, templates of topics, and formats of messages.

use tidegate::client::dial::{Proxy, ServerAddress, ServerUri};
use tidegate::topic::{TopicName, TopicTemplate};

use super::choices::Choices;

pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    match choices.below(4) {
        0 => server(choices.rest()),
        1 => proxy(choices.rest()),
        2 => template(&mut choices),
        _ => format(&mut choices),
    }
}

/// What is shown of a URI leads to the same server, and the layers of its scheme are there.
fn server(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let uri: ServerUri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => return check_line(&error.to_string()),
    };
    let shown = uri.to_string();
    let dialer = uri.dialer();
    #[cfg(feature = "websocket")]
    assert_eq!(dialer.web_socket.is_some(), shown.starts_with("ws"), "{shown}");
    #[cfg(feature = "tls")]
    assert_eq!(dialer.tls.is_some(), shown.starts_with("mqtts:") || shown.starts_with("wss:"), "{shown}");
    assert_eq!(dialer.address, *uri.address());
    // A path is shown as it is, and not as it is written.
    if let ServerAddress::Host { .. } = uri.address() {
        check_line(&shown);
        let again: ServerUri = shown.parse().unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!((again.to_string(), again.address()), (shown, uri.address()));
    }
}

fn proxy(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let proxy: Proxy = match text.parse() {
        Ok(proxy) => proxy,
        Err(error) => return check_line(&error.to_string()),
    };
    let shown = proxy.to_string();
    check_line(&shown);
    let again: Proxy = shown.parse().unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(again, Proxy { credentials: None, ..proxy });
}

/// A template reads what it shows, and makes the names in which it has found the values.
fn template(choices: &mut Choices<'_>) {
    let text = choices.text();
    let template = match TopicTemplate::try_from(&*text) {
        Ok(template) => template,
        Err(error) => return drop(error.to_string()),
    };
    assert_eq!(*template.to_string(), *text);
    assert_eq!(TopicTemplate::try_from(&*text), Ok(template.clone()));
    let Ok(name) = TopicName::try_from(&*choices.text()) else { return };
    let values = template.values(&name);
    assert_eq!(values.is_some(), template.filter().matches(&name), "{text} {name:?}");
    let Some(values) = values else { return };
    let parameters: Vec<_> = template.parameters().collect();
    assert!(values.iter().map(|(parameter, _)| parameter).eq(parameters));
    let mut filled = template.clone();
    for (parameter, value) in values.iter() {
        filled = filled.with(parameter, value).unwrap_or_else(|error| panic!("{text} {name:?}: {error}"));
    }
    assert!(filled.filter().matches(&name));
    let is_open = text.ends_with("/#");
    assert_eq!(filled.name().ok(), (!is_open).then_some(name), "{text}");
}

#[cfg(feature = "daemon")]
fn format(choices: &mut Choices<'_>) {
    use tidegate::daemon::printed;

    let text = choices.text();
    let is_pretty = choices.flag();
    let message = super::packets::publish(choices);
    let _ = printed(&text, &message, is_pretty);
    let json = printed("%j", &message, is_pretty).expect("it is a format");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(json["topic"], *message.topic);
    assert_eq!(json["payloadlen"], message.payload.len());
}

#[cfg(not(feature = "daemon"))]
fn format(_: &mut Choices<'_>) {}

fn check_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
