//! A client that sends and receives packets, and says nothing on its own.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use tidegate::packet::{
    Ack, Connack, Connect, Decoder, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS,
    ReasonCode, Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe, encode,
};
use tidegate::server::Server;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{QOS0, QOS1, QOS2, publish, text, within};

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Client {
    pub stream: Box<dyn Stream>,
    decoder: Decoder,
    received: BytesMut,
    /// Packets that came while another was waited for.
    early: VecDeque<Packet>,
    version: ProtocolVersion,
    last_identifier: u16,
}

pub fn id(value: u16) -> PacketIdentifier {
    PacketIdentifier::new(value).unwrap()
}

impl Client {
    pub fn over(stream: impl Stream + 'static, version: ProtocolVersion) -> Client {
        Client {
            stream: Box::new(stream),
            decoder: Decoder::client(version, u32::MAX),
            received: BytesMut::new(),
            early: VecDeque::new(),
            version,
            last_identifier: 0,
        }
    }

    /// A connection over which nothing was sent yet.
    pub async fn open(server: &Server, version: ProtocolVersion) -> Client {
        let stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream, version)
    }

    /// A client that was let in.
    pub async fn connect(server: &Server, connect: Connect) -> Client {
        let (client, connack) = Client::try_connect(server, connect).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS, "{connack:?}");
        client
    }

    pub async fn try_connect(server: &Server, connect: Connect) -> (Client, Connack) {
        let mut client = Client::open(server, connect.protocol_version).await;
        let connack = client.handshake(connect).await;
        (client, connack)
    }

    pub async fn handshake(&mut self, connect: Connect) -> Connack {
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.receive().await {
            Packet::Connack(connack) => *connack,
            other => panic!("{other:?} in place of CONNACK"),
        }
    }

    pub async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        encode(&packet, self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next packet, whatever it is; None at the end of the connection.
    pub async fn receive_or_end(&mut self) -> Option<Packet> {
        within(self.read_packet()).await
    }

    /// The same, for tests whose time is paused: waits as long as is asked.
    pub async fn receive_or_end_for(&mut self, patience: Duration) -> Option<Packet> {
        tokio::time::timeout(patience, self.read_packet()).await.expect("nothing came")
    }

    pub async fn receive(&mut self) -> Packet {
        self.receive_or_end().await.expect("the connection ended")
    }

    async fn read_packet(&mut self) -> Option<Packet> {
        if let Some(packet) = self.early.pop_front() {
            return Some(packet);
        }
        self.read_new_packet().await
    }

    async fn read_new_packet(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received).unwrap() {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The connection's end, and the Reason Code of the DISCONNECT before it. Any other packet fails.
    pub async fn end(&mut self) -> Option<ReasonCode> {
        self.farewell().await.map(|disconnect| disconnect.reason_code)
    }

    pub async fn farewell(&mut self) -> Option<Disconnect> {
        let mut said = None;
        loop {
            match self.receive_or_end().await {
                Some(Packet::Disconnect(disconnect)) => said = Some(*disconnect),
                Some(other) => panic!("{other:?} in place of the end"),
                None => return said,
            }
        }
    }

    /// Reads until the connection ends, whatever comes, and returns the last packet.
    pub async fn last_packet(&mut self) -> Option<Packet> {
        let mut last = None;
        while let Some(packet) = self.receive_or_end().await {
            last = Some(packet);
        }
        last
    }

    pub fn next_identifier(&mut self) -> PacketIdentifier {
        self.last_identifier += 1;
        id(self.last_identifier)
    }

    /// Publishes, goes through the whole flow, and says what the broker answered; QoS 0 is always Success.
    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> ReasonCode {
        self.publish_packet(Publish { qos, ..publish(topic, payload) }).await.reason_code
    }

    pub async fn publish_retained(&mut self, topic: &str, payload: &str, qos: QoS) -> ReasonCode {
        self.publish_packet(Publish { qos, retain: true, ..publish(topic, payload) }).await.reason_code
    }

    /// The same for any PUBLISH; one without an identifier gets one. Returns the PUBACK or PUBREC.
    pub async fn publish_packet(&mut self, mut publish: Publish) -> Ack {
        let identifier = match publish.packet_identifier {
            Some(identifier) => identifier,
            None => self.next_identifier(),
        };
        publish.packet_identifier = (publish.qos > QOS0).then_some(identifier);
        let qos = publish.qos;
        self.send(Packet::Publish(publish)).await;
        match qos {
            QoS::AtMostOnce => Ack::new(identifier, ReasonCode::SUCCESS),
            QoS::AtLeastOnce => match self.receive().await {
                Packet::Puback(ack) if ack.packet_identifier == identifier => ack,
                other => panic!("{other:?} in place of PUBACK"),
            },
            QoS::ExactlyOnce => {
                let ack = self.pubrec().await;
                assert_eq!(ack.packet_identifier, identifier);
                if !ack.reason_code.is_error() {
                    assert_eq!(self.release(identifier).await, ReasonCode::SUCCESS);
                }
                ack
            }
        }
    }

    pub async fn pubrec(&mut self) -> Ack {
        match self.receive().await {
            Packet::Pubrec(ack) => ack,
            other => panic!("{other:?} in place of PUBREC"),
        }
    }

    /// PUBREL, and the Reason Code of its PUBCOMP.
    pub async fn release(&mut self, identifier: PacketIdentifier) -> ReasonCode {
        self.send(Packet::Pubrel(Ack::new(identifier, ReasonCode::SUCCESS))).await;
        match self.receive().await {
            Packet::Pubcomp(ack) if ack.packet_identifier == identifier => ack.reason_code,
            other => panic!("{other:?} in place of PUBCOMP"),
        }
    }

    /// The next packet, which must be PUBLISH; it is not acknowledged.
    pub async fn next_publish(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} in place of PUBLISH"),
        }
    }

    /// PUBACK for a QoS 1 message.
    pub async fn acknowledge(&mut self, publish: &Publish) {
        let identifier = publish.packet_identifier.expect("QoS 0 is not acknowledged");
        self.send(Packet::Puback(Ack::new(identifier, ReasonCode::SUCCESS))).await;
    }

    /// The next message, received as its QoS demands.
    pub async fn message(&mut self) -> Publish {
        let publish = self.next_publish().await;
        let Some(identifier) = publish.packet_identifier else { return publish };
        let ack = Ack::new(identifier, ReasonCode::SUCCESS);
        if publish.qos == QOS1 {
            self.send(Packet::Puback(ack)).await;
            return publish;
        }
        assert_eq!(publish.qos, QOS2);
        self.send(Packet::Pubrec(ack.clone())).await;
        loop {
            match within(self.read_new_packet()).await.expect("the connection ended") {
                Packet::Pubrel(pubrel) if pubrel.packet_identifier == identifier => break,
                other => self.early.push_back(other),
            }
        }
        self.send(Packet::Pubcomp(ack)).await;
        publish
    }

    /// The payloads of the next messages.
    pub async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::with_capacity(count);
        for _ in 0..count {
            payloads.push(text(&self.message().await).to_string());
        }
        payloads
    }

    /// Subscribes to one filter and expects it to be granted.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let suback = self.subscribe_to(vec![to(filter, qos)]).await;
        assert_eq!(suback.reason_codes, [ReasonCode::from(qos)], "{filter}");
    }

    pub async fn subscribe_to(&mut self, subscriptions: Vec<SubscribeFilter>) -> Suback {
        self.subscribe_as(None, subscriptions).await
    }

    pub async fn subscribe_as(
        &mut self,
        subscription_identifier: Option<u32>,
        subscriptions: Vec<SubscribeFilter>,
    ) -> Suback {
        let packet_identifier = self.next_identifier();
        let user_properties = Vec::new();
        let packet = Subscribe { packet_identifier, subscription_identifier, user_properties, subscriptions };
        self.send(Packet::Subscribe(Box::new(packet))).await;
        match self.receive().await {
            Packet::Suback(suback) if suback.packet_identifier == packet_identifier => suback,
            other => panic!("{other:?} in place of SUBACK"),
        }
    }

    pub async fn unsubscribe(&mut self, filters: &[&str]) -> Unsuback {
        let packet_identifier = self.next_identifier();
        let filters = filters.iter().map(|filter| filter.to_string().into()).collect();
        let packet = Unsubscribe { packet_identifier, user_properties: Vec::new(), filters };
        self.send(Packet::Unsubscribe(Box::new(packet))).await;
        match self.receive().await {
            Packet::Unsuback(unsuback) if unsuback.packet_identifier == packet_identifier => unsuback,
            other => panic!("{other:?} in place of UNSUBACK"),
        }
    }

    pub async fn ping(&mut self) {
        self.send(Packet::Pingreq).await;
        let answer = self.receive().await;
        assert_eq!(answer, Packet::Pingresp);
    }

    /// Pings, and keeps what comes before the answer for later: so far the broker has acted on what was sent.
    pub async fn ping_while_messages_come(&mut self) {
        self.send(Packet::Pingreq).await;
        loop {
            match within(self.read_new_packet()).await.expect("the connection ended") {
                Packet::Pingresp => return,
                other => self.early.push_back(other),
            }
        }
    }

    /// Gives up the packets that came while another was waited for, and says how many there were.
    pub fn forget_waiting(&mut self) -> usize {
        self.early.drain(..).count()
    }

    /// Nothing waits for this client. What was queued before the first PINGREQ may stand behind its
    /// answer, but not behind the second.
    pub async fn assert_silent(&mut self) {
        self.ping().await;
        self.ping().await;
    }

    /// Says farewell and waits for the end.
    pub async fn disconnect(self) {
        self.disconnect_with(Disconnect::default()).await;
    }

    pub async fn disconnect_with(mut self, disconnect: Disconnect) {
        self.send(Packet::Disconnect(Box::new(disconnect))).await;
        let end = self.receive_or_end().await;
        assert_eq!(end, None);
    }
}

pub fn to(filter: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter::new(filter.to_string().into(), qos)
}
