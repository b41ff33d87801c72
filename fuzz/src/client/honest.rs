//! The server after it has become honest: it answers all that it is asked, for as long as the client comes.

use tidegate::packet::{Packet, PacketIdentifier, Publish, QoS};

use super::server::Server;

/// What is published to this topic comes back with QoS 2.
pub const WITNESS: &str = "witness/topic";

impl Server {
    /// Until there is no client any more. `keeps_session`: it says that it knows the client's session, where it may.
    pub async fn serve_honestly(mut self, keeps_session: bool) {
        self.keeps_session = keeps_session;
        while let Some(stream) = self.streams.recv().await {
            self.begin(stream);
            let mut has_said_it = false;
            while self.hear().await.is_some() {
                self.answer_all().await;
                if self.is_witnessed && self.book().has_let_in() && !has_said_it {
                    has_said_it = true;
                    self.say(&echo()).await;
                }
            }
        }
    }
}

fn echo() -> Packet {
    Packet::Publish(Publish {
        qos: QoS::ExactlyOnce,
        packet_identifier: PacketIdentifier::new(60_000),
        ..Publish::new(WITNESS.into(), "seen".into())
    })
}
