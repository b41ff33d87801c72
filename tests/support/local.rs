//! A broker without sockets or threads, for tests whose time is paused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tidegate::broker::{Broker, Options};
use tidegate::cluster::standalone::Standalone;
use tidegate::connection::{Peer, serve};
use tidegate::hook::{Hooks, ListenerPolicy, NoHooks};
use tidegate::packet::{Connack, Connect, ProtocolVersion, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::Client;

/// Bytes that a connection in memory takes before its writer waits.
const PIPE: usize = 64 * 1024;

pub struct Local {
    pub broker: Arc<Broker>,
}

impl Local {
    pub fn start() -> Local {
        Local::with(Options::default())
    }

    pub fn with(options: Options) -> Local {
        Local::hooked(options, Arc::new(NoHooks))
    }

    pub fn hooked(options: Options, hooks: Arc<dyn Hooks>) -> Local {
        let broker = Broker::new(options, hooks, None, Arc::new(Standalone));
        let house = broker.clone();
        tokio::spawn(async move { house.keep_house().await });
        Local { broker }
    }

    /// Publishes `$SYS` too. Without, as its interval passes a million times where a test lets months pass.
    pub fn with_system_topics(self) -> Local {
        let broker = self.broker.clone();
        tokio::spawn(async move { broker.publish_system_topics().await });
        self
    }

    /// A connection over which nothing was sent yet, and the task that serves it.
    pub fn open(&self, version: ProtocolVersion) -> (Client, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        (Client::over(ours, version), self.serve(theirs))
    }

    /// Serves a connection over this stream.
    pub fn serve<S>(&self, stream: S) -> JoinHandle<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let policy = ListenerPolicy::open("memory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let peer = Peer::new(Some(address.into()), Arc::new(policy));
        let served = serve(stream, peer, self.broker.clone());
        tokio::spawn(async move { assert!(served.await.is_none(), "it was sent to another thread") })
    }

    pub async fn try_connect(&self, connect: Connect) -> (Client, Connack) {
        let (mut client, _) = self.open(connect.protocol_version);
        let connack = client.handshake(connect).await;
        (client, connack)
    }

    pub async fn connect(&self, connect: Connect) -> Client {
        let (client, connack) = self.try_connect(connect).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS, "{connack:?}");
        client
    }
}
