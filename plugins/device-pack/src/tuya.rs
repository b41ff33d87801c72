//! Tuya Link: Client Identifier `tuyalink_{device}`, User Name
//! `{device}|signMethod=hmacSha256,timestamp=…,secureMode=1,accessType=1`, Password: hexadecimal HMAC-SHA256 by the
//! device's secret over `deviceId=…,timestamp=…,secureMode=…,accessType=…`.

use std::collections::BTreeMap;

use tidegate_plugin::crypto::{self, Algorithm};
use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Places, Refusal, Verdict, is_near};
use crate::settings::Secret;
use crate::text::{hex, number, parameters};

pub(crate) struct Tuya {
    pub(crate) devices: BTreeMap<String, Secret>,
    pub(crate) clock_skew_seconds: Option<u64>,
    pub(crate) places: Places,
}

impl Cloud for Tuya {
    fn name(&self) -> &'static str {
        "tuya"
    }

    fn identify(&self, connect: &Connect, now: u64) -> Verdict {
        match connect.client_identifier().strip_prefix("tuyalink_") {
            Some(device) => self.check(connect, device, now).into(),
            None => Verdict::NotMine,
        }
    }

    fn places(&self) -> &Places {
        &self.places
    }
}

impl Tuya {
    fn check(&self, connect: &Connect, device: &str, now: u64) -> Result<Identity, Refusal> {
        let user_name = connect.user_name().ok_or(Refusal::Malformed)?;
        let (named, written) = user_name.split_once('|').ok_or(Refusal::Malformed)?;
        let names = ["signMethod", "timestamp", "secureMode", "accessType"];
        let [method, timestamp, secure_mode, access_type] =
            parameters(written, ',', names, &[]).ok_or(Refusal::Malformed)?;
        let signature = connect.password().and_then(hex).ok_or(Refusal::Malformed)?;
        let time = number(timestamp).ok_or(Refusal::Malformed)?;
        if method != "hmacSha256" {
            return Err(Refusal::Malformed);
        }

        let secret = self.devices.get(named).ok_or(Refusal::UnknownDevice)?;
        let signed = format!(
            "deviceId={named},timestamp={timestamp},secureMode={secure_mode},accessType={access_type}"
        );
        let expected = crypto::hmac(Algorithm::Sha256, secret.bytes(), signed.as_bytes());
        if !crypto::constant_time_equal(&expected, &signature) {
            return Err(Refusal::Forged);
        }
        if named != device {
            return Err(Refusal::Anothers);
        }
        if self.clock_skew_seconds.is_some_and(|skew| !is_near(time, now, skew)) {
            return Err(Refusal::Expired);
        }
        Ok(Identity { product: None, device: device.to_owned(), expires_at_seconds: None })
    }
}
