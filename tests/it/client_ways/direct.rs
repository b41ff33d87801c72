//! Without a proxy: TCP, Unix sockets, TLS, WebSockets.

use tidegate::client::DialError;
#[cfg(unix)]
use tidegate::client::dial::ServerAddress;
use tidegate::server::{ListenerOptions, Server};
#[cfg(unix)]
use tidegate::transport::ListenAddress;
#[cfg(feature = "tls")]
use tidegate::transport::tls::{ClientCertificates, OwnCertificate, TlsOptions, TlsVersion, Trust};
#[cfg(feature = "websocket")]
use tidegate::transport::websocket::WebSocketOptions;

use super::*;
#[cfg(any(feature = "tls", unix))]
use crate::transport::Folder;
#[cfg(feature = "tls")]
use crate::transport::authority::{Authority, write};

async fn start(listener: ListenerOptions) -> Server {
    Server::builder().workers(2).listener(listener).start().await.unwrap()
}

#[tokio::test]
async fn a_host_is_reached_by_name_and_by_address() {
    let server = start(ListenerOptions::loopback(0)).await;
    let port = server.addresses()[0].port();
    carries(&dialer(&format!("mqtt://127.0.0.1:{port}"))).await;
    carries(&dialer(&format!("tcp://localhost:{port}"))).await;
}

#[tokio::test]
async fn who_cannot_be_found_or_reached_is_named() {
    let (listener, address) = listen().await;
    drop(listener);
    let refused = failed(&dialer(&format!("mqtt://{address}"))).await;
    assert!(matches!(refused, DialError::Unreachable { .. }) && refused.may_pass(), "{refused}");
    assert!(refused.to_string().contains(&format!("127.0.0.1 port {}", address.port())), "{refused}");
    let unknown = failed(&dialer("mqtt://nowhere.invalid")).await;
    assert!(matches!(&unknown, DialError::Resolve { host, .. } if host == "nowhere.invalid"), "{unknown}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_reached_by_its_path() {
    let folder = Folder::new();
    let path = folder.path("mqtt.sock");
    let _server = start(ListenerOptions::at("local", ListenAddress::Unix(path.clone())).open()).await;
    carries(&dialer(&format!("unix://{}", path.display()))).await;
    let absent = Dialer::new(ServerAddress::Unix(folder.path("absent.sock")));
    let error = failed(&absent).await;
    assert!(matches!(&error, DialError::Unreachable { address, .. } if address.ends_with("absent.sock")));
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn a_websocket_is_opened_at_its_path() {
    // [MQTT-6.0.0-1] [MQTT-6.0.0-2] [MQTT-6.0.0-3] [MQTT-6.0.0-4]
    let mut listener = ListenerOptions::loopback(0);
    listener.transport.web_socket = Some(WebSocketOptions::default());
    let server = start(listener).await;
    let address = server.addresses()[0];
    for path in ["", "/mqtt", "/mqtt?token=x"] {
        carries(&dialer(&format!("ws://{address}{path}"))).await;
    }
    let error = failed(&dialer(&format!("ws://{address}/elsewhere"))).await;
    let cause = error.cause::<tidegate::transport::websocket::UpgradeError>();
    let says_404 =
        matches!(cause, Some(tidegate::transport::websocket::UpgradeError::Refused { status: 404, .. }));
    assert!(says_404, "{error}");
}

/// A listener with a certificate for `broker.example`, and who signed it.
#[cfg(feature = "tls")]
pub struct Secure {
    pub folder: Folder,
    pub authority: Authority,
    pub options: TlsOptions,
}

#[cfg(feature = "tls")]
impl Secure {
    pub fn new() -> Secure {
        let (folder, authority) = (Folder::new(), Authority::new("Servers"));
        let (chain, key) = authority.issue("broker", &["broker.example"]).write(&folder, "server");
        write(&folder.path("ca.pem"), &authority.pem);
        Secure { folder, authority, options: TlsOptions::new(chain, key) }
    }

    pub async fn start(&self) -> Server {
        let mut listener = ListenerOptions::loopback(0);
        listener.transport.tls = Some(self.options.clone());
        start(listener).await
    }

    /// What trusts its authority.
    pub fn dialer(&self, uri: &str, server: &Server) -> Dialer {
        self.dialer_at(uri, server.addresses()[0])
    }

    pub fn dialer_at(&self, uri: &str, server: SocketAddr) -> Dialer {
        let mut dialer = at(uri, server);
        if let Some(tls) = &mut dialer.tls {
            tls.trust = Trust::Authorities(vec![self.folder.path("ca.pem")]);
        }
        dialer
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_of_either_version_reaches_a_server_that_an_authority_vouches_for() {
    let mut secure = Secure::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        secure.options.minimum_version = version;
        let server = secure.start().await;
        let mut dialer = secure.dialer("mqtts://b", &server);
        carries(&dialer).await;
        let tls = dialer.tls.as_mut().unwrap();
        tls.minimum_version = TlsVersion::V1_3;
        tls.application_protocols = vec!["mqtt".into()];
        carries(&dialer).await;
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn an_own_certificate_is_read_again_at_each_connect() {
    let mut secure = Secure::new();
    let devices = Authority::new("Devices");
    write(&secure.folder.path("devices.pem"), &devices.pem);
    secure.options.client_certificates =
        Some(ClientCertificates::required(vec![secure.folder.path("devices.pem")]));
    let server = secure.start().await;
    let (chain, key) = Authority::new("Others").issue("device", &[]).write(&secure.folder, "device");
    let mut dialer = secure.dialer("mqtts://b", &server);
    dialer.tls.as_mut().unwrap().own_certificate = Some(OwnCertificate { chain, key });

    // In TLS 1.3 the client hears of it when it reads.
    let mut stream = within(dialer.connect()).await.unwrap();
    let error = within(tokio::io::AsyncReadExt::read_u8(&mut stream)).await.unwrap_err();
    assert!(error.to_string().contains("UnknownCA"), "{error}");

    devices.issue("device", &[]).write(&secure.folder, "device");
    carries(&dialer).await;
}

#[cfg(all(feature = "tls", feature = "websocket"))]
#[tokio::test]
async fn a_websocket_in_tls_is_opened() {
    let secure = Secure::new();
    let mut listener = ListenerOptions::loopback(0);
    listener.transport.tls = Some(secure.options.clone());
    listener.transport.web_socket = Some(WebSocketOptions::default());
    let server = start(listener).await;
    carries(&secure.dialer("wss://b/mqtt", &server)).await;
}
