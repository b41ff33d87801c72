//! What a case says that the transport knows of its client.

use std::net::SocketAddr;

use super::fields::Fields;
use crate::peer::{
    AlternativeName, Certificate, Known, Proxy, Remote, Tls, Transport, UnixCredentials, WebSocket,
};

const TRANSPORTS: [(&str, Transport); 5] = [
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("ws", Transport::WebSocket),
    ("wss", Transport::SecureWebSocket),
    ("unix", Transport::Unix),
];

/// Where the client is, and how it is connected: as the other keys say where `transport` is not given.
pub(super) fn remote(fields: &Fields<'_>) -> (Remote, Transport) {
    let address = fields.parsed("remote-address", str::parse::<SocketAddr>);
    let known = Known {
        address: None,
        tls: fields.fields("tls").map(tls),
        certificate: fields.fields("certificate").map(certificate).map(Box::new),
        unix: fields.fields("unix-credentials").map(unix),
        proxy: fields.fields("proxy").map(proxy).map(Box::new),
        web_socket: fields.fields("web-socket").map(web_socket),
    };
    let transport = fields.choice("transport", &TRANSPORTS).unwrap_or_else(|| transport_of(&known));
    let anywhere = (transport != Transport::Unix).then(|| ([127, 0, 0, 1], 50_000).into());
    (Known { address: address.or(anywhere), ..known }.into(), transport)
}

fn transport_of(known: &Known) -> Transport {
    match (known.tls.is_some() || known.certificate.is_some(), known.web_socket.is_some()) {
        (true, true) => Transport::SecureWebSocket,
        (true, false) => Transport::Tls,
        (false, true) => Transport::WebSocket,
        (false, false) if known.unix.is_some() => Transport::Unix,
        (false, false) => Transport::Tcp,
    }
}

fn owned(fields: &Fields<'_>, key: &str) -> Option<String> {
    fields.text(key).map(str::to_owned)
}

fn tls(fields: Fields<'_>) -> Tls {
    let versions = [("TLSv1.2", "TLSv1.2"), ("TLSv1.3", "TLSv1.3")];
    let tls = Tls {
        version: fields.choice("version", &versions).unwrap_or("TLSv1.3"),
        cipher: owned(&fields, "cipher").unwrap_or_else(|| "TLS13_AES_256_GCM_SHA384".into()),
        server_name: owned(&fields, "server-name"),
        protocol: owned(&fields, "protocol"),
    };
    fields.finish();
    tls
}

fn certificate(fields: Fields<'_>) -> Certificate {
    let common_name = owned(&fields, "common-name");
    let subject = common_name.iter().map(|name| format!("CN={name}")).collect();
    let names = fields.list("alternative-names").unwrap_or_default();
    let certificate = Certificate {
        subject: owned(&fields, "subject").unwrap_or(subject),
        common_name,
        issuer: owned(&fields, "issuer").unwrap_or_default(),
        alternative_names: names.iter().filter_map(|name| alternative_name(&fields, name.as_str())).collect(),
        fingerprint: fingerprint(&fields),
        serial: owned(&fields, "serial").unwrap_or_else(|| "1".into()),
        not_after: fields.number::<u64>("not-after").unwrap_or_default().cast_signed(),
        chain: fields.bytes("chain").into_iter().map(|der| der.to_vec()).collect(),
    };
    fields.finish();
    certificate
}

fn alternative_name(fields: &Fields<'_>, name: Option<&str>) -> Option<AlternativeName> {
    let text = |text: &str| text.to_owned();
    match name.and_then(|name| name.split_once(':')) {
        Some(("DNS", name)) => Some(AlternativeName::Dns(text(name))),
        Some(("email", name)) => Some(AlternativeName::Email(text(name))),
        Some(("URI", name)) => Some(AlternativeName::Uri(text(name))),
        Some(("IP", name)) if name.parse::<std::net::IpAddr>().is_ok() => {
            name.parse().ok().map(AlternativeName::Ip)
        }
        _ => fields.problem(
            "alternative-names",
            "expects texts such as \"DNS:device-7.example\" or \"IP:192.0.2.7\"",
        ),
    }
}

/// Zeros where there is none.
fn fingerprint(fields: &Fields<'_>) -> [u8; 32] {
    let Some(text) = fields.text("fingerprint") else { return [0; 32] };
    let mut bytes = [0; 32];
    let is_whole = text.len() == 64 && text.is_ascii();
    let read = |(place, byte): (usize, &mut u8)| {
        text.get(2 * place..2 * place + 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .map(|value| *byte = value)
    };
    if !is_whole || bytes.iter_mut().enumerate().map(read).any(|read| read.is_none()) {
        fields.problem::<()>("fingerprint", "has 64 hexadecimal digits");
    }
    bytes
}

fn unix(fields: Fields<'_>) -> UnixCredentials {
    let unix = UnixCredentials {
        uid: fields.number("uid").unwrap_or_default(),
        gid: fields.number("gid").unwrap_or_default(),
        pid: fields.number::<u32>("pid").map(u32::cast_signed),
    };
    fields.finish();
    unix
}

/// Without fields: these are bytes, for which cases have no form.
fn proxy(fields: Fields<'_>) -> Proxy {
    let address = |key| fields.parsed(key, str::parse::<SocketAddr>);
    let proxy =
        Proxy { address: address("address"), destination: address("destination"), fields: Vec::new() };
    fields.finish();
    proxy
}

fn web_socket(fields: Fields<'_>) -> WebSocket {
    let web_socket = WebSocket {
        path: owned(&fields, "path").unwrap_or_else(|| "/mqtt".into()),
        origin: owned(&fields, "origin"),
    };
    fields.finish();
    web_socket
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};

    use super::*;

    fn read(case: &Value) -> ((Remote, Transport), Vec<String>) {
        let problems = RefCell::default();
        let fields = Fields::new(case.as_object().unwrap(), "case", &problems);
        let read = remote(&fields);
        fields.finish();
        (read, problems.into_inner())
    }

    #[test]
    fn a_case_may_say_all_that_a_transport_knows() {
        let case = json!({
            "remote-address": "192.0.2.7:1",
            "tls": { "version": "TLSv1.2", "server-name": "broker.example" },
            "certificate": {
                "common-name": "device-7", "alternative-names": ["DNS:a.example", "IP:192.0.2.7"],
                "fingerprint": "ab".repeat(32), "serial": "1f", "not-after": 7, "chain-hex": "30 00",
            },
            "unix-credentials": { "uid": 1, "gid": 2, "pid": 3 },
            "proxy": { "address": "192.0.2.1:2" },
            "web-socket": { "origin": "https://a.example" },
        });
        let ((remote, transport), problems) = read(&case);
        assert_eq!(problems, [""; 0]);
        let known = remote.known().unwrap();
        let certificate = known.certificate.as_ref().unwrap();
        assert_eq!((certificate.subject.as_str(), certificate.fingerprint), ("CN=device-7", [0xAB; 32]));
        assert_eq!((certificate.alternative_names.len(), &certificate.chain), (2, &vec![vec![0x30, 0]]));
        assert_eq!(known.unix, Some(UnixCredentials { uid: 1, gid: 2, pid: Some(3) }));
        assert_eq!(known.web_socket.as_ref().unwrap().path, "/mqtt");
        assert_eq!((transport, remote.address()), (Transport::SecureWebSocket, "192.0.2.7:1".parse().ok()));
    }

    #[test]
    fn a_case_that_says_nothing_has_a_client_over_tcp() {
        let ((remote, transport), problems) = read(&json!({}));
        assert_eq!((remote.known(), transport, problems.len()), (None, Transport::Tcp, 0));
        let ((remote, _), _) = read(&json!({ "transport": "unix" }));
        assert_eq!(remote.address(), None);
    }

    #[test]
    fn what_is_wrong_with_it_is_told() {
        let case = json!({
            "transport": "carrier pigeon",
            "certificate": { "fingerprint": "abc", "alternative-names": ["a.example"], "colour": "red" },
        });
        assert_eq!(read(&case).1.len(), 4);
    }
}
