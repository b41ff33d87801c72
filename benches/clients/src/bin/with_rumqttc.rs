use std::time::Duration;

use clients::{Work, processor_seconds};
use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, QoS};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let work = Work::of_arguments();
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(work.qos)];
    let mut options = MqttOptions::new("with-rumqttc", "127.0.0.1", work.port);
    options.set_keep_alive(Duration::from_secs(60));
    options.set_inflight(u16::MAX);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, work.window as usize + 10);
    // As the others have it: without, each message would wait for the acknowledgement of the one before.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    client.subscribe("clients/rumqttc", qos).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let payload = vec![b'x'; work.size];
    let before = processor_seconds();
    for _ in 0..work.window.min(work.messages) {
        client.try_publish("clients/rumqttc", qos, false, payload.clone())?;
    }
    let mut received = 0;
    while received < work.messages {
        if let Event::Incoming(Packet::Publish(_)) = events.poll().await? {
            received += 1;
            if received + work.window <= work.messages {
                client.try_publish("clients/rumqttc", qos, false, payload.clone())?;
            }
        }
    }
    work.report(before);
    Ok(())
}
