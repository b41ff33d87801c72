//! `client`: the client that the call is about.

use super::{HostData, user_properties};
use crate::peer::{self, AlternativeName, Known};
use crate::plugin::bindings::tidegate::plugin::client::{
    CertificateFields, Credentials, Host, ProxyHeader, TlsParameters, WebSocketRequest,
};
use crate::plugin::bindings::tidegate::plugin::types::UserProperty;

impl Host for HostData {
    fn identifier(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.client.as_ref().map(|client| client.client_identifier.to_string()).unwrap_or_default())
    }

    fn user_name(&mut self) -> wasmtime::Result<Option<String>> {
        let client = self.call.client.as_ref();
        Ok(client.and_then(|client| client.user_name.as_ref()).map(ToString::to_string))
    }

    fn remote_address(&mut self) -> wasmtime::Result<String> {
        let address = self.call.client.as_ref().and_then(|client| client.remote_address());
        Ok(address.map(|address| address.to_string()).unwrap_or_default())
    }

    fn listener(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.client.as_ref().map(|client| client.listener.name.clone()).unwrap_or_default())
    }

    fn protocol_version(&mut self) -> wasmtime::Result<u8> {
        Ok(self.call.client.as_ref().map_or(0, |client| client.protocol_version.level()))
    }

    fn user_properties(&mut self) -> wasmtime::Result<Vec<UserProperty>> {
        let client = self.call.client.as_ref();
        Ok(client.map(|client| user_properties(&client.user_properties)).unwrap_or_default())
    }

    fn session_identifier(&mut self, session: u64) -> wasmtime::Result<Option<String>> {
        let receiver = self.call.receivers.iter().find(|(receiver, _)| *receiver == session);
        Ok(receiver.map(|(_, identifier)| identifier.to_string()))
    }

    fn transport(&mut self) -> wasmtime::Result<String> {
        let client = self.call.client.as_ref();
        Ok(client.map(|client| client.listener.transport.as_str().to_owned()).unwrap_or_default())
    }

    fn tls(&mut self) -> wasmtime::Result<Option<TlsParameters>> {
        Ok(self.known().and_then(|known| known.tls.as_ref()).map(tls))
    }

    fn certificate(&mut self) -> wasmtime::Result<Option<CertificateFields>> {
        Ok(self.known().and_then(|known| known.certificate.as_deref()).map(certificate))
    }

    fn certificate_chain(&mut self) -> wasmtime::Result<Vec<Vec<u8>>> {
        let certificate = self.known().and_then(|known| known.certificate.as_deref());
        Ok(certificate.map(|certificate| certificate.chain.clone()).unwrap_or_default())
    }

    fn unix_credentials(&mut self) -> wasmtime::Result<Option<Credentials>> {
        let unix = self.known().and_then(|known| known.unix);
        Ok(unix.map(|peer::UnixCredentials { uid, gid, pid }| Credentials { uid, gid, pid }))
    }

    fn proxy(&mut self) -> wasmtime::Result<Option<ProxyHeader>> {
        let text =
            |address: Option<std::net::SocketAddr>| address.map(|it| it.to_string()).unwrap_or_default();
        Ok(self.known().and_then(|known| known.proxy.as_deref()).map(|proxy| ProxyHeader {
            address: text(proxy.address),
            destination: text(proxy.destination),
            fields: proxy.fields.clone(),
        }))
    }

    fn web_socket(&mut self) -> wasmtime::Result<Option<WebSocketRequest>> {
        let seen = self.known().and_then(|known| known.web_socket.clone());
        Ok(seen.map(|peer::WebSocket { path, origin }| WebSocketRequest { path, origin }))
    }
}

impl HostData {
    /// What the transport knows of the client.
    fn known(&self) -> Option<&Known> {
        self.call.client.as_ref().and_then(|client| client.known())
    }
}

fn tls(tls: &peer::Tls) -> TlsParameters {
    TlsParameters {
        version: tls.version.to_owned(),
        cipher: tls.cipher.clone(),
        server_name: tls.server_name.clone(),
        protocol: tls.protocol.clone(),
    }
}

fn certificate(certificate: &peer::Certificate) -> CertificateFields {
    CertificateFields {
        subject: certificate.subject.clone(),
        common_name: certificate.common_name.clone(),
        issuer: certificate.issuer.clone(),
        alternative_names: certificate.alternative_names.iter().map(AlternativeName::to_string).collect(),
        fingerprint: certificate.fingerprint_text(),
        serial: certificate.serial.clone(),
        not_after: certificate.not_after,
    }
}
