//! Plugins that are asked about clients of some listeners only.

use super::*;

/// Asks all that can be asked about a client of this listener. Returns how many hooks the plugin was called for.
fn hooks_called(listener: &str, plugin: PluginOptions) -> usize {
    let host = Host::start(&[plugin]);
    assert_eq!(host.host.wanted(), Host::start(&[options("every-hook")]).host.wanted());
    let client = client_of(listener);
    let connect = Connect::new(ProtocolVersion::V5, "c1".into());
    let mut message = message("t", "payload");
    wait(host.host.validating_connection(ConnectContext { client: &client, connect: &connect }));
    wait(host.host.authenticate(AuthenticateContext {
        client: &client,
        connect: Some(&connect),
        method: &"m".into(),
        data: None,
        exchange: None,
    }));
    wait(host.host.authorize(AuthorizeContext {
        client: &client,
        action: Action::Publish,
        topic: "t",
        qos: QoS::AtMostOnce,
        retain: false,
    }));
    wait(host.host.intercepting_publish(PublishContext {
        client: Some(&client),
        message: &message,
        now: NOW,
    }));
    let receivers = [receiver(0)];
    let context =
        EnqueueContext { sender: Some(&client), message: &message, receivers: &receivers, now: NOW };
    wait(host.host.intercepting_client_enqueue(context));
    let subscriptions = [subscription("t")];
    let context =
        SubscribeContext { client: &client, subscriptions: &subscriptions, subscription_identifier: None };
    wait(host.host.intercepting_subscription(context));
    let filters = [TopicFilter::try_from("t").unwrap()];
    wait(host.host.intercepting_unsubscription(UnsubscribeContext { client: &client, filters: &filters }));
    let why = WhyNotConsumed::NoSubscriber;
    let context = NotConsumedContext { client: Some(&client), message: &message, why, now: NOW };
    wait(host.host.application_message_not_consumed(context));
    let status = host.status();
    let called = status.by_hook.iter().filter(|of_hook| of_hook.calls > 0).count();
    // No client sent it.
    message.origin = Origin::Injected;
    wait(host.host.intercepting_publish(PublishContext { client: None, message: &message, now: NOW }));
    assert_eq!(host.status().calls - status.calls, u64::from(listener == "any"));
    called
}

fn client_of(listener: &str) -> Arc<ClientInfo> {
    let mut client = Arc::into_inner(client("c1")).unwrap();
    client.listener = Arc::new(ListenerPolicy { name: listener.into(), ..(*client.listener).clone() });
    Arc::new(client)
}

fn limited_to(listeners: &[&str]) -> PluginOptions {
    let listeners = listeners.iter().map(|name| name.to_string()).collect();
    PluginOptions { listeners, ..options("every-hook") }
}

#[test]
fn a_plugin_for_some_listeners_is_asked_about_their_clients_by_every_hook_and_about_no_others() {
    assert_eq!(hooks_called("any", limited_to(&[])), 7);
    assert_eq!(hooks_called("tls", limited_to(&["tls", "wss"])), 7);
    assert_eq!(hooks_called("wss", limited_to(&["tls", "wss"])), 7);
    assert_eq!(hooks_called("tcp", limited_to(&["tls", "wss"])), 0);
}

#[test]
fn each_listener_has_its_plugins_in_the_order_of_the_configuration() {
    let plugin =
        |name: &str, listeners: &[&str]| PluginOptions { name: name.into(), ..limited_to(listeners) };
    let host = Host::start(&[plugin("a", &["tls"]), plugin("b", &[]), plugin("c", &["tcp"])]);
    let mut connect = Connect::new(ProtocolVersion::V5, "c1".into());
    connect.user_name = Some("next".into());
    for (listener, asked) in [("tls", ["a", "b"]), ("tcp", ["b", "c"])] {
        let before: Vec<u64> = host.host.status().iter().map(|status| status.calls).collect();
        wait(
            host.host
                .validating_connection(ConnectContext { client: &client_of(listener), connect: &connect }),
        );
        let called =
            host.host.status().into_iter().zip(before).filter(|(status, before)| status.calls > *before);
        assert!(called.map(|(status, _)| status.name).eq(asked), "{listener}");
    }
}
