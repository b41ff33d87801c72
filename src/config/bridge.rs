//! `[[bridge]]`: other brokers that this one is a client of.

use std::path::Path;
use std::time::Duration;

use super::broker::read_queue;
use super::report::Problems;
use super::section::{Entry, Section};
use super::settings::read_text;
use crate::bridge::{BridgeOptions, BridgedTopic, CleanStart, Direction};
use crate::client::dial::{Dialer, Proxy, ServerUri};
use crate::packet::{ProtocolVersion, QoS};
use crate::session::QueueLimits;

const VERSIONS: [(&str, ProtocolVersion); 2] =
    [("5.0", ProtocolVersion::V5), ("3.1.1", ProtocolVersion::V311)];
const DIRECTIONS: [(&str, Direction); 3] =
    [("out", Direction::Out), ("in", Direction::In), ("both", Direction::Both)];
/// Between two attempts to connect.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// `queue`: the limits of all sessions.
pub(super) fn read(
    sections: Vec<Section<'_, '_>>,
    folder: &Path,
    queue: QueueLimits,
    problems: &Problems<'_>,
) -> Vec<BridgeOptions> {
    let mut bridges: Vec<BridgeOptions> = Vec::new();
    for section in sections {
        let span = section.span();
        let Some(bridge) = read_one(section, folder, queue) else { continue };
        if bridges.iter().any(|other| other.name == bridge.name) {
            let message = format!("there is another bridge named `{}`", bridge.name);
            problems.add(&span, "bridge.name", message);
        }
        bridges.push(bridge);
    }
    bridges
}

fn read_one(mut section: Section<'_, '_>, folder: &Path, of_all: QueueLimits) -> Option<BridgeOptions> {
    let name = section.require("name", "write one, by which log and figures tell it from others");
    let uri = section.require("uri", "write where the other broker is, such as \"mqtts://broker.example\"");
    let client_identifier = section.require(
        "client-identifier",
        "write the one that the other broker is to know this bridge by; no other client there may have it",
    );
    let given_uri = uri.as_ref().and_then(read_uri);
    let mut dialer = given_uri.as_ref().map(ServerUri::dialer);
    read_dialer(&mut section, folder, dialer.as_mut());
    let mut options = BridgeOptions::new(
        name.and_then(|entry| entry.name()).unwrap_or_default(),
        dialer?,
        client_identifier.and_then(|entry| read_identifier(&entry)).unwrap_or_default(),
    );
    options.user_name = given_uri.as_ref().and_then(|uri| uri.user_name().cloned());
    options.password = given_uri.and_then(|uri| uri.password().cloned());
    section.set("user-name", &mut options.user_name, |v| v.text().map(|text| Some(text.to_owned().into())));
    section.set("password-file", &mut options.password, |v| read_password(v, folder).map(Some));
    section.set("protocol", &mut options.protocol_version, |v| v.choice(&VERSIONS));
    section.set("keep-alive", &mut options.keep_alive, |v| v.seconds(0..=u64::from(u16::MAX)));
    section.set("clean-start", &mut options.clean_start, |v| {
        v.boolean().map(|yes| if yes { CleanStart::Yes } else { CleanStart::No })
    });
    section.set("reconnect-minimum", &mut options.pauses.0, |v| v.duration(PAUSES));
    section.set("reconnect-maximum", &mut options.pauses.1, |v| v.duration(PAUSES));
    options.pauses.1 = options.pauses.1.max(options.pauses.0);
    let mut queue = of_all;
    read_queue(&mut section, &mut queue);
    options.queue = (queue != of_all).then_some(queue);
    let topics = section.require("topic", "write [[bridge.topic]] for what it is to carry");
    let topics = topics.map(|entry| entry.sections("bridge.topic")).unwrap_or_default();
    options.topics = topics.into_iter().filter_map(read_topic).collect();
    section.finish();
    Some(options)
}

fn read_uri(entry: &Entry<'_, '_>) -> Option<ServerUri> {
    entry.text()?.parse().map_or_else(|error| entry.problem(format!("{error}")), Some)
}

fn read_identifier(entry: &Entry<'_, '_>) -> Option<String> {
    match entry.text()? {
        "" => entry.problem("is empty; the other broker could not know the bridge again"),
        text => Some(text.to_owned()),
    }
}

/// The last line's end is not a part of it.
fn read_password(entry: &Entry<'_, '_>, folder: &Path) -> Option<bytes::Bytes> {
    let file = entry.text()?;
    match read_text(&folder.join(file)) {
        Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned().into()),
        Err(problem) => entry.problem(format!("{file} {problem}")),
    }
}

/// How the other broker is reached, beside its URI.
fn read_dialer(section: &mut Section<'_, '_>, folder: &Path, dialer: Option<&mut Dialer>) {
    let proxy = section.get("proxy");
    let proxy = proxy.and_then(|entry| {
        entry.text()?.parse::<Proxy>().map_or_else(|error| entry.problem(format!("{error}")), Some)
    });
    #[cfg(feature = "tls")]
    let tls = tls::read(section, folder, dialer.as_ref().is_none_or(|dialer| dialer.tls.is_some()));
    let Some(dialer) = dialer else { return };
    dialer.proxy = proxy;
    #[cfg(feature = "tls")]
    if let Some(options) = &mut dialer.tls {
        tls.apply(options);
        if let Err(error) = dialer.check() {
            section.problems().add(
                &section.span(),
                "bridge.uri",
                format!("cannot be used: failed to {error}"),
            );
        }
    }
    #[cfg(not(feature = "tls"))]
    let _ = folder;
}

fn read_topic(mut section: Section<'_, '_>) -> Option<BridgedTopic> {
    let filter = section.require("filter", "write a Topic Filter, such as \"sensors/#\"");
    let direction = section.require("direction", "write \"out\", \"in\" or \"both\"");
    let (mut qos, mut local, mut remote) = (QoS::AtLeastOnce, String::new(), String::new());
    section.set("qos", &mut qos, read_qos);
    section.set("local-prefix", &mut local, |v| v.text().map(str::to_owned));
    section.set("remote-prefix", &mut remote, |v| v.text().map(str::to_owned));
    section.finish();
    let direction = direction.and_then(|entry| entry.choice(&DIRECTIONS));
    let filter = filter?;
    let topic = BridgedTopic::between(&local, &remote, filter.text()?, direction?, qos);
    topic.map_or_else(|error| filter.problem(format!("{error}")), Some)
}

fn read_qos(entry: &Entry<'_, '_>) -> Option<QoS> {
    Some(match entry.integer::<u8>(0..=2)? {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    })
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::{Path, PathBuf};

    use super::super::section::{Entry, Section};
    use crate::transport::tls::{ClientTlsOptions, Fingerprint, OwnCertificate, TlsVersion, Trust};

    const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

    /// What the keys about TLS say.
    #[derive(Default)]
    pub(super) struct Keys {
        server_name: Option<String>,
        trust: Option<Trust>,
        own_certificate: Option<OwnCertificate>,
        minimum_version: Option<TlsVersion>,
    }

    impl Keys {
        /// What the URI says of application protocols stays.
        pub(super) fn apply(self, options: &mut ClientTlsOptions) {
            options.server_name = self.server_name;
            options.trust = self.trust.unwrap_or_default();
            options.own_certificate = self.own_certificate;
            options.minimum_version = self.minimum_version.unwrap_or_default();
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>, folder: &Path, is_encrypted: bool) -> Keys {
        let server_name = section.get("server-name");
        let authorities = section.get("ca");
        let fingerprints = section.get("fingerprint");
        let insecure = section.get("insecure");
        let chain = section.get("certificate");
        let key = section.get("key");
        let version = section.get("tls-minimum-version");
        let all = [&server_name, &authorities, &fingerprints, &insecure, &chain, &key, &version];
        if !is_encrypted {
            for key in all.into_iter().flatten() {
                key.problem::<()>("is used with TLS only: write a `uri` of mqtts or wss, or remove it");
            }
            return Keys::default();
        }
        Keys {
            server_name: server_name.and_then(|entry| entry.text().map(str::to_owned)),
            trust: trust(authorities, fingerprints, insecure, folder),
            own_certificate: own_certificate(chain, key, folder),
            minimum_version: version.and_then(|entry| entry.choice(&VERSIONS)),
        }
    }

    fn trust(
        authorities: Option<Entry<'_, '_>>,
        fingerprints: Option<Entry<'_, '_>>,
        insecure: Option<Entry<'_, '_>>,
        folder: &Path,
    ) -> Option<Trust> {
        let insecure = insecure.filter(|entry| entry.boolean() == Some(true));
        let given: Vec<_> = [&authorities, &fingerprints, &insecure].into_iter().flatten().collect();
        if let [_, other, ..] = given[..] {
            return other
                .problem("who is trusted is said once: keep one of `ca`, `fingerprint` and `insecure`");
        }
        if let Some(entry) = authorities {
            let file = |entry: &Entry<'_, '_>| entry.text().map(|file| folder.join(file));
            return several(&entry, file).map(Trust::Authorities);
        }
        if let Some(entry) = fingerprints {
            return several(&entry, read_fingerprint).map(Trust::Certificates);
        }
        insecure.map(|_| Trust::Anybody)
    }

    /// One, or a list of them.
    fn several<T>(entry: &Entry<'_, '_>, read: impl Fn(&Entry<'_, '_>) -> Option<T>) -> Option<Vec<T>> {
        if entry.value().as_str().is_some() {
            return read(entry).map(|one| vec![one]);
        }
        entry.list()?.iter().map(read).collect()
    }

    fn read_fingerprint(entry: &Entry<'_, '_>) -> Option<Fingerprint> {
        entry.text()?.parse().map_or_else(|error| entry.problem(format!("{error}")), Some)
    }

    fn own_certificate(
        chain: Option<Entry<'_, '_>>,
        key: Option<Entry<'_, '_>>,
        folder: &Path,
    ) -> Option<OwnCertificate> {
        let file = |entry: &Entry<'_, '_>| entry.text().map(|file| -> PathBuf { folder.join(file) });
        match (chain, key) {
            (Some(chain), Some(key)) => Some(OwnCertificate { chain: file(&chain)?, key: file(&key)? }),
            (Some(chain), None) => chain.problem("needs the `key` that belongs to it"),
            (None, Some(key)) => key.problem("needs the `certificate` that it belongs to"),
            (None, None) => None,
        }
    }
}
