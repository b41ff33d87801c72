use clients::{Work, processor_seconds};
use tidegate::client::{Options, SubscribeOptions, connect};
use tidegate::packet::{Publish, QoS};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let work = Work::of_arguments();
    let qos = QoS::try_from(work.qos).expect("0, 1 or 2");
    let mut options = Options::new("127.0.0.1", work.port, "with-tidegate");
    options.connect.protocol_version = tidegate::packet::ProtocolVersion::V311;
    options.topic_aliases = 0;
    let client = connect(options).await?;
    let mut subscription = client.subscribe(SubscribeOptions::from(("clients/tidegate", qos))).await?;
    let publish = Publish::new("clients/tidegate".into(), vec![b'x'; work.size].into()).with_qos(qos);
    let before = processor_seconds();
    for _ in 0..work.window.min(work.messages) {
        client.enqueue(publish.clone()).await?;
    }
    for received in 1..=work.messages {
        subscription.next().await.expect("connected");
        if received + work.window <= work.messages {
            client.enqueue(publish.clone()).await?;
        }
    }
    work.report(before);
    client.disconnect().await?;
    Ok(())
}
