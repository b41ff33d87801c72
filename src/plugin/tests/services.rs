//! What plugins ask of the host.

use super::*;

#[test]
fn a_publish_is_queued_one_deeper_than_what_caused_it() {
    let mut host = Host::start(&[options("every-hook")]);
    let mut message = message("publish/x", "p");
    message.depth = 3;
    host.publish_message(&message);
    let Some(Request::Publish(published)) = host.requests.try_recv() else { panic!() };
    assert_eq!((published.topic.as_str(), published.depth), ("publish/x", 4));
    assert_eq!(published.origin, Origin::Injected);
}

#[test]
fn a_loop_of_messages_ends() {
    let mut host = Host::start(&[options("every-hook")]);
    let mut message = message("publish/x", "p");
    let mut turns = 0;
    loop {
        host.publish_message(&message);
        let Some(Request::Publish(next)) = host.requests.try_recv() else { break };
        message = *next;
        turns += 1;
        assert!(turns < 100);
    }
    assert_eq!(message.depth, 8);
}

#[test]
fn a_plugin_ends_a_clients_connection() {
    let mut host = Host::start(&[options("every-hook")]);
    host.publish("disconnect/c9");
    let Some(Request::Disconnect { client_identifier, reason }) = host.requests.try_recv() else { panic!() };
    assert_eq!((&*client_identifier, reason), ("c9", ReasonCode::ADMINISTRATIVE_ACTION));
}

#[test]
fn a_full_queue_is_told_to_the_plugin_and_harms_nobody() {
    let (requester, _requests) = requests(RequestLimits { queue: 1, ..RequestLimits::default() });
    let host = PluginHost::start(host_options(), &[options("every-hook")], requester).unwrap();
    let message = message("ask/key", "");
    let ask = || {
        let context = PublishContext { client: None, message: &message, now: NOW };
        wait(host.intercepting_publish(context)).verdict
    };
    assert!(matches!(ask(), PublishVerdict::Swallow));
    assert!(matches!(ask(), PublishVerdict::Reject(ReasonCode::QUOTA_EXCEEDED)), "the queue is full");
    host.shutdown();
}
