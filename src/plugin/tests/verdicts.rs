//! Every hook and every verdict, with the plugin that uses them all.

use super::*;

fn every_hook() -> Host {
    Host::start(&[options("every-hook")])
}

#[test]
fn every_exported_hook_is_wanted_and_no_other() {
    let host = every_hook();
    let all = Hook::ALL.len();
    assert_eq!(host.status().hooks.len(), all);
    assert!(host.host.wanted().contains(HookSet::EVENTS.with(HookSet::INTERCEPTING_PUBLISH)));
    assert!(!host.host.wanted().contains(HookSet::AUTHORIZER_DELIVERIES));
    let host = Host::start(&[options("topic-only")]);
    assert_eq!(host.host.wanted(), HookSet::INTERCEPTING_PUBLISH);
}

#[test]
fn a_connection_is_let_in_refused_or_left_to_the_listener() {
    let host = every_hook();
    assert_eq!(host.connect("next").verdict, ConnectVerdict::Next);
    assert_eq!(host.connect("anybody").verdict, ConnectVerdict::Allow);
    assert_eq!(host.connect("banned").verdict, ConnectVerdict::Deny(ReasonCode::BANNED));
    assert_eq!(host.connect("password").verdict, ConnectVerdict::Allow);
    let denied = host.connect("deny");
    assert_eq!(denied.verdict, ConnectVerdict::Deny(ReasonCode::NOT_AUTHORIZED));
    let reply = denied.reply.unwrap();
    assert_eq!(reply.reason_string.as_deref(), Some("denied as asked"));
    assert_eq!(reply.user_properties, [("hook".into(), "validating-connection".into())]);
    let moved = host.connect("moved");
    assert_eq!(moved.verdict, ConnectVerdict::Deny(ReasonCode::USE_ANOTHER_SERVER));
    assert_eq!(moved.reply.unwrap().server_reference.as_deref(), Some("elsewhere:1883"));
}

#[test]
fn what_is_set_beside_allow_lands_in_the_overrides() {
    let host = every_hook();
    let overrides = host.connect("limits").overrides;
    assert_eq!(overrides.session_expiry_cap, Some(60));
    assert_eq!(overrides.server_keep_alive, Some(30));
    assert_eq!(overrides.receive_maximum, Some(5));
    assert_eq!(overrides.maximum_packet_size, Some(1000));
    let renamed = host.connect("renamed").overrides;
    assert_eq!(renamed.client_identifier.as_deref(), Some("renamed-c1"));
    assert!(host.connect("expires").overrides.expires_at.unwrap() > NOW);
    assert_eq!(host.connect("anybody").overrides, ConnectOverrides::default(), "nothing is left over");
}

#[test]
fn the_plugin_sees_the_connect_packet() {
    let host = every_hook();
    let mut connect = Connect::new(ProtocolVersion::V5, "c1".into());
    connect.user_name = Some("describe".into());
    connect.keep_alive = 60;
    connect.session_expiry_interval = Some(9);
    connect.authentication_method = Some("SCRAM".into());
    let seen = host.connect_with(&connect).reply.unwrap().reason_string.unwrap();
    assert_eq!(
        &*seen,
        "client=c1 listener=default version=5 clean-start=true keep-alive=60 expiry=9 will= method=SCRAM"
    );
}

#[test]
fn the_authorizer_allows_denies_and_says_for_how_long() {
    let host = every_hook();
    let deny = AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
    assert_eq!(host.authorize(Action::Publish, "x").verdict, AuthorizationVerdict::Allow);
    assert_eq!(host.authorize(Action::Publish, "next/x").verdict, AuthorizationVerdict::Next);
    assert_eq!(host.authorize(Action::Publish, "deny-publish/x").verdict, deny);
    assert_eq!(host.authorize(Action::Subscribe, "deny-publish/#").verdict, AuthorizationVerdict::Allow);
    assert_eq!(host.authorize(Action::Subscribe, "deny-subscribe/#").verdict, deny);
    let cached = host.authorize(Action::Publish, "deny-cached");
    assert_eq!((cached.verdict, cached.cache), (deny, Duration::from_secs(60)));
}

#[test]
fn deliveries_are_authorized_where_init_asked_for_it() {
    let settings = settings(serde_json::json!({"authorize-deliveries": true}), options("every-hook"));
    let host = Host::start(&[settings]);
    assert!(host.host.wanted().contains(HookSet::AUTHORIZER_DELIVERIES));
    let denied = host.authorize(Action::Deliver, "deny-delivery/x").verdict;
    assert_eq!(denied, AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn a_publish_passes_is_changed_swallowed_or_rejected() {
    let host = every_hook();
    assert!(matches!(host.publish("a/b").verdict, PublishVerdict::Continue));
    assert!(matches!(host.publish("swallow/b").verdict, PublishVerdict::Swallow));
    let rejected = host.publish("reject/b");
    assert!(matches!(rejected.verdict, PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED)));
    assert_eq!(rejected.reply.unwrap().reason_string.as_deref(), Some("rejected as asked"));
    let PublishVerdict::Modify(modified) = host.publish("modify/b").verdict else { panic!() };
    assert_eq!((modified.topic.as_str(), &modified.payload[..]), ("modified/b", &b"PAYLOAD"[..]));
    assert_eq!((modified.qos, modified.retain), (QoS::AtMostOnce, false));
    assert_eq!(modified.publisher, ClientKey(7), "what it does not change stays");
}

#[test]
fn a_publish_may_close_the_connection_beside_any_verdict() {
    let host = every_hook();
    let close = host.publish("close/b");
    assert!(matches!(close.verdict, PublishVerdict::Continue));
    assert_eq!(close.reply.unwrap().close, Some(ReasonCode::ADMINISTRATIVE_ACTION));
    let both = host.publish("reject-close/b");
    assert!(matches!(both.verdict, PublishVerdict::Reject(ReasonCode::QUOTA_EXCEEDED)));
    assert_eq!(both.reply.unwrap().close, Some(ReasonCode::MESSAGE_RATE_TOO_HIGH));
}

#[test]
fn properties_are_read_and_set() {
    let host = every_hook();
    let mut message = message("properties/x", "p");
    message.properties.get_or_insert_default().user_properties = vec![("old".into(), "one".into())];
    let PublishVerdict::Modify(modified) = host.publish_message(&message).verdict else { panic!() };
    let properties = modified.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.response_topic.as_deref(), Some("answers"));
    assert_eq!(properties.user_properties.len(), 2);
    assert_eq!(properties.user_properties[0], ("old".into(), "one".into()));
    assert_eq!(modified.expires_at, Some(NOW.after_secs(60)));
}

#[test]
fn a_payload_above_the_eager_limit_is_read_through_the_host() {
    for eager in [0, 4] {
        let settings = settings(serde_json::json!({"eager-payload": eager}), options("every-hook"));
        let host = Host::start(&[settings]);
        let PublishVerdict::Modify(modified) = host.publish("reverse/x").verdict else { panic!() };
        assert_eq!(&modified.payload[..], b"daolyap");
    }
}

#[test]
fn receivers_are_skipped_or_get_copies() {
    let host = every_hook();
    assert!(matches!(host.enqueue("a", 3), EnqueueOutcome::Deliver));
    assert!(matches!(host.enqueue("skip", 3), EnqueueOutcome::Skip));
    let EnqueueOutcome::Choose { choices, .. } = host.enqueue("skip-sender", 3) else { panic!() };
    assert_eq!(choices, [Choice::Skip, Choice::Deliver, Choice::Deliver]);
    let EnqueueOutcome::Choose { choices, copies } = host.enqueue("copy", 3) else { panic!() };
    assert_eq!(choices, [Choice::Deliver, Choice::Copy(0), Choice::Copy(0)]);
    assert_eq!(&copies[0].payload[..], b"payload copy");
    let EnqueueOutcome::Choose { copies, .. } = host.enqueue("name", 2) else { panic!() };
    assert_eq!(&copies[1].payload[..], b"receiver-1");
}

#[test]
fn the_wrong_number_of_choices_or_verdicts_is_a_failure() {
    let host = every_hook();
    assert!(matches!(host.enqueue("short", 3), EnqueueOutcome::Skip));
    assert!(host.status().last_error.unwrap().contains("2 choices for 3 receivers"));
    let refused = SubscribeVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    assert_eq!(host.subscribe(&["a", "too-few"]).verdicts, [refused.clone(), refused]);
}

#[test]
fn subscriptions_are_granted_capped_rewritten_or_denied() {
    let host = every_hook();
    let outcome = host.subscribe(&["a", "cap1/#", "rewrite/x", "nowhere", "deny-filter/#"]);
    let grant = |maximum_qos, filter: Option<&str>| SubscribeVerdict::Grant {
        maximum_qos,
        filter: filter.map(|filter| TopicFilter::try_from(filter).unwrap()),
    };
    assert_eq!(
        outcome.verdicts,
        [
            SubscribeVerdict::Next,
            grant(QoS::AtLeastOnce, None),
            grant(QoS::ExactlyOnce, Some("rewritten/x")),
            SubscribeVerdict::GrantWithoutRouting,
            SubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
        ]
    );
    assert_eq!(outcome.reply.unwrap().reason_string.as_deref(), Some("denied as asked"));
}

#[test]
fn unsubscriptions_are_carried_out_kept_or_denied() {
    let outcome = every_hook().unsubscribe(&["a", "keep/a", "locked/a"]);
    assert_eq!(
        outcome.verdicts,
        [
            UnsubscribeVerdict::Next,
            UnsubscribeVerdict::Keep,
            UnsubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED)
        ]
    );
}

#[test]
fn a_message_for_nobody_is_observed_redirected_or_answered() {
    let host = every_hook();
    assert_eq!(host.not_consumed("a"), NotConsumedOutcome::Observe);
    let redirected = NotConsumedOutcome::Redirect(TopicName::try_from("redirected/a").unwrap());
    assert_eq!(host.not_consumed("redirect/a"), redirected);
    assert_eq!(host.not_consumed("answer-quota/a"), NotConsumedOutcome::Answer(ReasonCode::QUOTA_EXCEEDED));
}

#[test]
fn events_arrive_in_their_number() {
    let mut host = every_hook();
    for _ in 0..200 {
        let client_identifier = "c1".into();
        host.host.event(Event { time: NOW, what: What::SessionCreated { client_identifier } });
    }
    eventually("200 events", || host.state("events/session-created").as_deref() == Some(b"200"));
}

#[test]
fn events_that_find_no_room_are_counted_and_hold_up_nobody() {
    let narrow = HostOptions { event_queue: 1, ..host_options() };
    let host = Host::start_with(narrow, &[options("every-hook")]);
    for _ in 0..1000 {
        host.host.event(Event { time: NOW, what: What::Started });
    }
    assert!(host.host.dropped_events() > 0);
}
