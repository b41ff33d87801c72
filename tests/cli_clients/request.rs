//! `tidegate rpc`, with somebody who answers.

use std::thread::JoinHandle;

use tidegate::packet::{
    Packet, PacketIdentifier, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
};

use crate::cli_support::{Daemon, RawClient};

/// Answers one request to the topics of a filter, as `answer` says.
pub fn answering(
    port: u16,
    filter: &'static str,
    answer: impl FnOnce(&Publish) -> Publish + Send + 'static,
) -> JoinHandle<Publish> {
    let mut client = RawClient::connect(port, "answers");
    client.send(Packet::Subscribe(Box::new(Subscribe {
        packet_identifier: PacketIdentifier::FIRST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![SubscribeFilter::new(filter.into(), QoS::AtMostOnce)],
    })));
    assert!(matches!(client.receive(), Packet::Suback(_)));
    std::thread::spawn(move || {
        let Packet::Publish(request) = client.receive() else { panic!("no request") };
        client.send(Packet::Publish(answer(&request)));
        // Until it has taken the answer in, the connection stays.
        client.send(Packet::Pingreq);
        assert!(matches!(client.receive(), Packet::Pingresp));
        request
    })
}

/// As MQTT 5.0 says: to the Response Topic, with the Correlation Data.
pub fn by_properties(request: &Publish) -> Publish {
    let asked = request.properties.as_deref().unwrap();
    let mut response = Publish::new(asked.response_topic.clone().unwrap(), "fine\0\u{e9}".into());
    response.properties = Some(Box::new(PublishProperties {
        correlation_data: asked.correlation_data.clone(),
        ..PublishProperties::default()
    }));
    response
}

/// As who knows no properties does.
fn by_suffix(request: &Publish) -> Publish {
    Publish::new(format!("{}/response", request.topic).into(), "fine".into())
}

#[test]
fn a_response_is_printed_and_ends_it() {
    let daemon = Daemon::start(&[]);
    for (more, topic) in [(&[][..], "tidegate/response/"), (&["-e", "my/answers"], "my/answers")] {
        let answering = answering(daemon.port, "lamp/#", by_properties);
        let arguments = [&["-t", "lamp/7", "-m", "{}", "-W", "20", "-v"], more].concat();
        let asked = daemon.client("rpc", &arguments);
        assert_eq!(asked.code, 0, "{}", asked.err);
        assert!(asked.out.starts_with(topic) && asked.out.ends_with(" fine\0\u{e9}\n"), "{}", asked.out);
        let request = answering.join().unwrap();
        assert_eq!((&*request.topic, &request.payload[..]), ("lamp/7", &b"{}"[..]));
    }
}

#[test]
fn a_request_of_3_1_1_and_one_of_mqttnet_have_their_response_beside_them() {
    let daemon = Daemon::start(&[]);
    for (arguments, filter) in [
        (&["-t", "lamp/7", "-V", "311", "-m", "x"][..], "lamp/7"),
        (&["--mqttnet", "Reboot", "-V", "311"], "MQTTnet.RPC/+/Reboot"),
        (&["--mqttnet", "Reboot", "-V", "5", "-q", "0"], "MQTTnet.RPC/+/Reboot"),
    ] {
        let answering = answering(daemon.port, filter, by_suffix);
        let asked = daemon.client("rpc", &[arguments, &["-F", "%p!", "-W", "20"]].concat());
        assert_eq!((asked.code, asked.out.as_str()), (0, "fine!\n"), "{arguments:?}: {}", asked.err);
        answering.join().unwrap();
    }
}

#[test]
fn no_response_in_time_ends_with_27_and_nobody_who_could_answer_with_69() {
    let daemon = Daemon::start(&[]);
    let nobody = daemon.client("rpc", &["-t", "lamp/7", "-m", "x"]);
    assert_eq!(nobody.code, 69);
    assert!(nobody.err.contains("nobody subscribes to the topic"), "{}", nobody.err);
    for version in ["311", "5"] {
        // It hears its own request, and does not answer.
        let more = ["-t", "lamp/7", "-e", "lamp/7/x", "-m", "x", "-W", "0.3", "-V", version];
        let _listener = daemon.background("sub", &["-t", "lamp/7", "-V", "5"]);
        crate::publish::daemon_has_subscribers(&daemon, "lamp/7");
        let late = daemon.client("rpc", &more);
        assert_eq!(late.code, 27, "{}", late.err);
        assert!(late.err.contains("no response within 0.3 s"), "{}", late.err);
    }
}
