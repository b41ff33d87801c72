//! Azure IoT Hub: Client Identifier the device, User Name `{hub}/{device}/?api-version=…`, Password
//! `SharedAccessSignature sr={uri}&sig={…}&se={seconds}`: base64 HMAC-SHA256 by the device's key, or a key of the
//! hub, over the URI as it is written and the end.

use std::collections::BTreeMap;

use tidegate_plugin::crypto::{self, Algorithm};
use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Places, Refusal, Verdict, is_name};
use crate::settings::Secret;
use crate::text::{MAXIMUM_LENGTH, base64, number, parameters, percent_decode};

pub(crate) struct Azure {
    /// by host name
    pub(crate) hubs: BTreeMap<String, Hub>,
    pub(crate) clock_skew_seconds: u64,
    pub(crate) places: Places,
}

pub(crate) struct Hub {
    /// of a shared access policy: good for every device
    pub(crate) key: Option<Secret>,
    pub(crate) devices: BTreeMap<String, Secret>,
}

const SCHEME: &[u8] = b"SharedAccessSignature ";

impl Cloud for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn identify(&self, connect: &Connect, now: u64) -> Verdict {
        match connect.password().and_then(|password| password.strip_prefix(SCHEME)) {
            Some(token) => self.check(connect, token, now).into(),
            None => Verdict::NotMine,
        }
    }

    fn places(&self) -> &Places {
        &self.places
    }
}

impl Azure {
    fn check(&self, connect: &Connect, token: &[u8], now: u64) -> Result<Identity, Refusal> {
        let token = str::from_utf8(token).ok().filter(|token| token.len() <= MAXIMUM_LENGTH);
        let [uri, signature, end] = token
            .and_then(|token| parameters(token, '&', ["sr", "sig", "se"], &["skn"]))
            .ok_or(Refusal::Malformed)?;
        let signature = percent_decode(signature).and_then(|text| base64(&text)).ok_or(Refusal::Malformed)?;
        let expires_at = number(end).ok_or(Refusal::Malformed)?;
        let (hub_name, device) = connect.user_name().and_then(split).ok_or(Refusal::Malformed)?;

        let hub = self.hubs.get(hub_name).ok_or(Refusal::UnknownDevice)?;
        let speaks_for = percent_decode(uri).ok_or(Refusal::Malformed)?;
        self.check_signature(hub, device, &format!("{uri}\n{end}"), &signature)?;
        let of_device = format!("{hub_name}/devices/{device}");
        // A key of a device would be good for the whole hub, were it the device that says so.
        let of_hub = hub.key.is_some() && !hub.devices.contains_key(device) && speaks_for == hub_name;
        if connect.client_identifier() != device || speaks_for != of_device && !of_hub {
            return Err(Refusal::Anothers);
        }
        let expires_at = expires_at.saturating_add(self.clock_skew_seconds);
        if expires_at < now {
            return Err(Refusal::Expired);
        }
        Ok(Identity {
            product: Some(hub_name.to_owned()),
            device: device.to_owned(),
            expires_at_seconds: Some(expires_at),
        })
    }

    /// The device's key where it has one, else the hub's.
    fn check_signature(
        &self,
        hub: &Hub,
        device: &str,
        signed: &str,
        signature: &[u8],
    ) -> Result<(), Refusal> {
        let key = hub.devices.get(device).or(hub.key.as_ref()).filter(|_| is_name(device));
        let key = key.ok_or(Refusal::UnknownDevice)?;
        let expected = crypto::hmac(Algorithm::Sha256, key.bytes(), signed.as_bytes());
        if crypto::constant_time_equal(&expected, signature) { Ok(()) } else { Err(Refusal::Forged) }
    }
}

/// Hub and device.
fn split(user_name: &str) -> Option<(&str, &str)> {
    let (hub, rest) = user_name.split_once('/')?;
    let device = rest.split('/').next().filter(|device| !device.is_empty())?;
    Some((hub, device))
}
