//! Several plugins behind one another.

use super::*;

fn named(name: &str, plugin: PluginOptions) -> PluginOptions {
    PluginOptions { name: name.into(), ..plugin }
}

#[test]
fn each_plugin_sees_the_message_as_the_one_before_left_it() {
    // Both reverse the payload, so that the second one restores it.
    let host = Host::start(&[options("every-hook"), named("again", options("every-hook"))]);
    let PublishVerdict::Modify(modified) = host.publish("reverse/x").verdict else { panic!() };
    assert_eq!(&modified.payload[..], b"payload");
    // The first one moves it away from what the second one would have changed.
    let PublishVerdict::Modify(modified) = host.publish("modify/x").verdict else { panic!() };
    assert_eq!(modified.topic.as_str(), "modified/x");
}

#[test]
fn the_first_refusal_ends_the_chain() {
    let host = Host::start(&[options("every-hook"), named("second", options("every-hook"))]);
    host.publish("reject/x");
    host.publish("swallow/x");
    let calls: Vec<u64> = host.host.status().iter().map(|status| status.calls).collect();
    assert_eq!(calls, [2, 0]);
}

#[test]
fn user_properties_of_several_plugins_add_up() {
    let host = Host::start(&[options("every-hook"), named("second", options("every-hook"))]);
    assert_eq!(host.subscribe(&["deny-filter/x", "b"]).verdicts.len(), 2);
    let first = host.subscribe(&["deny-filter/x", "b"]).reply.unwrap().user_properties;
    assert_eq!(first.len(), 1, "the denied filter is not offered to the second plugin");
}

#[test]
fn an_authorizer_behind_one_that_has_no_opinion_is_not_cached() {
    let host = Host::start(&[options("every-hook"), named("second", options("every-hook"))]);
    let cached = host.authorize(Action::Publish, "deny-cached");
    assert_eq!(cached.cache, Duration::from_secs(60));
    assert_eq!(host.authorize(Action::Publish, "next").verdict, AuthorizationVerdict::Next);
    let calls: Vec<u64> = host.host.status().iter().map(|status| status.calls).collect();
    assert_eq!(calls, [2, 1]);
}

#[test]
fn copies_of_two_plugins_compose() {
    let host = Host::start(&[options("every-hook"), named("second", options("every-hook"))]);
    let EnqueueOutcome::Choose { choices, copies } = host.enqueue("copy", 3) else { panic!() };
    // The second one is asked about the original with one receiver, and about the copy with two, of
    // which the latter gets a copy of the copy.
    assert_eq!(choices[0], Choice::Deliver);
    let payload = |choice: Choice| match choice {
        Choice::Copy(index) => copies[index as usize].payload.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(&payload(choices[1])[..], b"payload copy");
    assert_eq!(&payload(choices[2])[..], b"payload copy copy");
}

#[test]
fn hooks_that_the_configuration_does_not_name_are_not_called() {
    let plugin = PluginOptions { hooks: Some(vec![Hook::Authorizer]), ..options("every-hook") };
    let host = Host::start(&[plugin]);
    assert_eq!(host.host.wanted(), HookSet::AUTHORIZER);
    assert!(matches!(host.publish("swallow/x").verdict, PublishVerdict::Continue));
}
