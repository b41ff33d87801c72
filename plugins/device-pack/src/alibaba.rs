//! Alibaba IoT: Client Identifier `{cid}|securemode=…,signmethod=…,timestamp=…|`, User Name `{device}&{product}`,
//! Password: hexadecimal HMAC by the device's secret over `clientId{cid}deviceName{…}productKey{…}timestamp{…}`.

use std::collections::BTreeMap;

use tidegate_plugin::crypto::{self, Algorithm};
use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Places, Refusal, Verdict, is_name, is_near};
use crate::settings::Secret;
use crate::text::{hex, number, parameters};

pub(crate) struct Alibaba {
    pub(crate) products: BTreeMap<String, Product>,
    pub(crate) clock_skew_seconds: Option<u64>,
    pub(crate) places: Places,
}

pub(crate) struct Product {
    /// for devices that are not listed
    pub(crate) secret: Option<Secret>,
    pub(crate) devices: BTreeMap<String, Secret>,
}

/// Parameters of the Client Identifier that clients may add and nothing here depends on.
const OTHER_PARAMETERS: [&str; 6] = ["securemode", "lan", "gw", "ext", "_v", "_ss"];

/// Times with more digits are milliseconds.
const DIGITS_OF_SECONDS: usize = 12;

impl Cloud for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba"
    }

    fn identify(&self, connect: &Connect, now: u64) -> Verdict {
        let identifier = connect.client_identifier();
        match identifier.strip_suffix('|').and_then(|identifier| identifier.split_once('|')) {
            Some((client, parameters)) if parameters.contains("signmethod=") => {
                self.check(connect, client, parameters, now).into()
            }
            _ => Verdict::NotMine,
        }
    }

    fn places(&self) -> &Places {
        &self.places
    }
}

impl Alibaba {
    fn check(&self, connect: &Connect, client: &str, written: &str, now: u64) -> Result<Identity, Refusal> {
        // A device may sign without a time.
        let with_time = parameters(written, ',', ["signmethod", "timestamp"], &OTHER_PARAMETERS);
        let (method, timestamp) = match with_time {
            Some([method, timestamp]) => (method, Some(timestamp)),
            None => {
                let [method] =
                    parameters(written, ',', ["signmethod"], &OTHER_PARAMETERS).ok_or(Refusal::Malformed)?;
                (method, None)
            }
        };
        let algorithm = algorithm(method).ok_or(Refusal::Malformed)?;
        let user_name = connect.user_name().ok_or(Refusal::Malformed)?;
        let (device, product) = user_name.rsplit_once('&').ok_or(Refusal::Malformed)?;
        let signature = connect.password().and_then(hex).ok_or(Refusal::Malformed)?;

        let secret = self.secret(product, device).ok_or(Refusal::UnknownDevice)?;
        let mut signed = format!("clientId{client}deviceName{device}productKey{product}");
        if let Some(timestamp) = timestamp {
            signed.push_str("timestamp");
            signed.push_str(timestamp);
        }
        let expected = crypto::hmac(algorithm, secret.bytes(), signed.as_bytes());
        if !crypto::constant_time_equal(&expected, &signature) {
            return Err(Refusal::Forged);
        }
        self.check_time(timestamp, now)?;
        Ok(Identity {
            product: Some(product.to_owned()),
            device: device.to_owned(),
            expires_at_seconds: None,
        })
    }

    fn secret(&self, product: &str, device: &str) -> Option<&Secret> {
        let product = self.products.get(product)?;
        product.devices.get(device).or(product.secret.as_ref()).filter(|_| is_name(device))
    }

    fn check_time(&self, timestamp: Option<&str>, now: u64) -> Result<(), Refusal> {
        let Some(skew) = self.clock_skew_seconds else { return Ok(()) };
        let timestamp = timestamp.ok_or(Refusal::Expired)?;
        let time = number(timestamp).ok_or(Refusal::Malformed)?;
        let seconds = if timestamp.len() > DIGITS_OF_SECONDS { time / 1000 } else { time };
        if is_near(seconds, now, skew) { Ok(()) } else { Err(Refusal::Expired) }
    }
}

fn algorithm(method: &str) -> Option<Algorithm> {
    match method.to_ascii_lowercase().as_str() {
        "hmacmd5" => Some(Algorithm::Md5),
        "hmacsha1" => Some(Algorithm::Sha1),
        "hmacsha256" => Some(Algorithm::Sha256),
        _ => None,
    }
}
