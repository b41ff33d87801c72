//! What the operator wrote.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use tidegate_plugin::topic;

use crate::alibaba::{self, Alibaba};
use crate::azure::{self, Azure};
use crate::cloud::{Cloud, Places, is_name};
use crate::huawei::Huawei;
use crate::text::base64;
use crate::thingsboard::{self, ThingsBoard};
use crate::tuya::Tuya;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    alibaba: Option<AlibabaSettings>,
    tuya: Option<TuyaSettings>,
    huawei: Option<HuaweiSettings>,
    azure: Option<AzureSettings>,
    thingsboard: Option<ThingsBoardSettings>,
    #[serde(default)]
    pub(crate) others: Others,
    #[serde(default = "a_minute")]
    pub(crate) authorization_cache_seconds: u32,
}

/// A CONNECT whose credentials have the form of no cloud that is set up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Others {
    #[default]
    Deny,
    /// leave it to the next plugin
    Next,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AlibabaSettings {
    products: BTreeMap<String, ProductSettings>,
    clock_skew_seconds: Option<u64>,
    topics: Option<Vec<String>>,
    mount_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProductSettings {
    secret: Option<String>,
    #[serde(default)]
    devices: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TuyaSettings {
    devices: BTreeMap<String, String>,
    clock_skew_seconds: Option<u64>,
    topics: Option<Vec<String>>,
    mount_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HuaweiSettings {
    devices: BTreeMap<String, String>,
    #[serde(default = "an_hour")]
    clock_skew_seconds: u64,
    #[serde(default)]
    always_check_time: bool,
    topics: Option<Vec<String>>,
    mount_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AzureSettings {
    hubs: BTreeMap<String, HubSettings>,
    #[serde(default)]
    clock_skew_seconds: u64,
    topics: Option<Vec<String>>,
    mount_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HubSettings {
    key: Option<String>,
    #[serde(default)]
    devices: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ThingsBoardSettings {
    devices: BTreeMap<String, String>,
    topics: Option<Vec<String>>,
    mount_prefix: Option<String>,
}

fn a_minute() -> u32 {
    60
}

fn an_hour() -> u64 {
    3600
}

/// It is not shown by `Debug`.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

const ALIBABA_TOPICS: [&str; 5] = [
    "/sys/{product}/{device}/#",
    "/{product}/{device}/#",
    "/ext/+/{product}/{device}/#",
    "/ota/device/+/{product}/{device}",
    "/shadow/+/{product}/{device}",
];
const TUYA_TOPICS: [&str; 1] = ["tylink/{device}/#"];
const HUAWEI_TOPICS: [&str; 1] = ["$oc/devices/{device}/#"];
const AZURE_TOPICS: [&str; 1] = ["devices/{device}/#"];
/// All of ThingsBoard's topics are `v1/devices/me/…`: only a prefix keeps devices apart.
const THINGSBOARD_PREFIX: &str = "thingsboard/{device}";

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<Vec<Box<dyn Cloud>>, String> {
        let mut problems = Problems(Vec::new());
        let mut clouds: Vec<Box<dyn Cloud>> = Vec::new();
        if let Some(settings) = self.alibaba {
            clouds.push(Box::new(settings.check(&mut problems)));
        }
        if let Some(settings) = self.tuya {
            clouds.push(Box::new(settings.check(&mut problems)));
        }
        if let Some(settings) = self.huawei {
            clouds.push(Box::new(settings.check(&mut problems)));
        }
        if let Some(settings) = self.azure {
            clouds.push(Box::new(settings.check(&mut problems)));
        }
        if let Some(settings) = self.thingsboard {
            clouds.push(Box::new(settings.check(&mut problems)));
        }
        if clouds.is_empty() {
            problems.add("alibaba, tuya, huawei, azure, thingsboard", "set up at least one, as a table");
        }
        problems.into_result().map(|()| clouds)
    }
}

impl AlibabaSettings {
    fn check(self, problems: &mut Problems) -> Alibaba {
        let mut products = BTreeMap::new();
        problems.expect_some("alibaba.products", &self.products);
        for (name, product) in self.products {
            let place = format!("alibaba.products.{name}");
            problems.expect_name(&place, &name);
            if product.secret.is_none() && product.devices.is_empty() {
                problems.add(&place, "give it `devices`, or a `secret` for all of them");
            }
            let secret = product.secret.map(|secret| problems.secret(&format!("{place}.secret"), secret));
            let devices = problems.secrets(&format!("{place}.devices"), product.devices);
            products.insert(name, alibaba::Product { secret, devices });
        }
        let places = problems.places("alibaba", self.topics, &ALIBABA_TOPICS, self.mount_prefix);
        Alibaba { products, clock_skew_seconds: self.clock_skew_seconds, places }
    }
}

impl TuyaSettings {
    fn check(self, problems: &mut Problems) -> Tuya {
        problems.expect_some("tuya.devices", &self.devices);
        let devices = problems.secrets("tuya.devices", self.devices);
        let places = problems.places("tuya", self.topics, &TUYA_TOPICS, self.mount_prefix);
        Tuya { devices, clock_skew_seconds: self.clock_skew_seconds, places }
    }
}

impl HuaweiSettings {
    fn check(self, problems: &mut Problems) -> Huawei {
        problems.expect_some("huawei.devices", &self.devices);
        Huawei {
            devices: problems.secrets("huawei.devices", self.devices),
            clock_skew_seconds: problems.skew("huawei", self.clock_skew_seconds),
            always_check_time: self.always_check_time,
            places: problems.places("huawei", self.topics, &HUAWEI_TOPICS, self.mount_prefix),
        }
    }
}

impl AzureSettings {
    fn check(self, problems: &mut Problems) -> Azure {
        let mut hubs = BTreeMap::new();
        problems.expect_some("azure.hubs", &self.hubs);
        for (name, hub) in self.hubs {
            let place = format!("azure.hubs.{name}");
            problems.expect_name(&place, &name);
            if hub.key.is_none() && hub.devices.is_empty() {
                problems.add(&place, "give it `devices`, or a `key` for all of them");
            }
            let key = hub.key.map(|key| problems.key(&format!("{place}.key"), &key));
            let devices = hub.devices.into_iter().map(|(device, key)| {
                let place = format!("{place}.devices.{device}");
                problems.expect_name(&place, &device);
                let key = problems.key(&place, &key);
                (device, key)
            });
            let devices = devices.collect();
            hubs.insert(name, azure::Hub { key, devices });
        }
        Azure {
            hubs,
            clock_skew_seconds: problems.skew("azure", self.clock_skew_seconds),
            places: problems.places("azure", self.topics, &AZURE_TOPICS, self.mount_prefix),
        }
    }
}

impl ThingsBoardSettings {
    fn check(self, problems: &mut Problems) -> ThingsBoard {
        problems.expect_some("thingsboard.devices", &self.devices);
        let mut tokens = BTreeMap::new();
        for (device, token) in self.devices {
            let place = format!("thingsboard.devices.{device}");
            problems.expect_name(&place, &device);
            if token.is_empty() {
                problems.add(&place, "an empty token");
            }
            if tokens.insert(thingsboard::digest(&token), device).is_some() {
                problems.add(&place, "has the token of another device");
            }
        }
        let prefix = match (&self.topics, self.mount_prefix) {
            (None, None) => Some(THINGSBOARD_PREFIX.to_owned()),
            (_, prefix) => prefix,
        };
        ThingsBoard { tokens, places: problems.places("thingsboard", self.topics, &[], prefix) }
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, problem: &str) {
        self.0.push(format!("{place}: {problem}"));
    }

    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("settings: {}", self.0.join("; "))) }
    }

    fn expect_some<T>(&mut self, place: &str, table: &BTreeMap<String, T>) {
        if table.is_empty() {
            self.add(place, "name at least one");
        }
    }

    fn expect_name(&mut self, place: &str, name: &str) {
        if !is_name(name) {
            self.add(
                place,
                "the name is used in topics and may not be empty or have `/`, `+`, `#`, `{`, `}`",
            );
        }
    }

    fn secret(&mut self, place: &str, secret: String) -> Secret {
        if secret.is_empty() {
            self.add(place, "an empty secret");
        }
        Secret(secret.into_bytes())
    }

    fn secrets(&mut self, place: &str, devices: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
        devices
            .into_iter()
            .map(|(device, secret)| {
                let place = format!("{place}.{device}");
                self.expect_name(&place, &device);
                let secret = self.secret(&place, secret);
                (device, secret)
            })
            .collect()
    }

    fn key(&mut self, place: &str, key: &str) -> Secret {
        match base64(key).filter(|key| !key.is_empty()) {
            Some(key) => Secret(key),
            None => {
                self.add(place, "is not a key in base64");
                Secret(Vec::new())
            }
        }
    }

    fn skew(&mut self, cloud: &str, seconds: u64) -> u64 {
        if seconds > 366 * 86_400 {
            self.add(&format!("{cloud}.clock-skew-seconds"), "is more than a year; lower it");
        }
        seconds
    }

    fn places(
        &mut self,
        cloud: &str,
        topics: Option<Vec<String>>,
        usual: &[&str],
        mount_prefix: Option<String>,
    ) -> Places {
        let usual = || usual.iter().map(|topic| (*topic).to_owned()).collect();
        // With a prefix, all below it is the device's.
        let topics = topics.unwrap_or_else(|| if mount_prefix.is_some() { Vec::new() } else { usual() });
        if topics.is_empty() && mount_prefix.is_none() {
            self.add(&format!("{cloud}.topics"), "name at least one Topic Filter, or leave it out");
        }
        for filter in &topics {
            if !topic::is_filter(filter) || filter.starts_with("$share/") {
                self.add(&format!("{cloud}.topics"), &format!("`{filter}` is not a Topic Filter"));
            }
        }
        if let Some(prefix) = &mount_prefix {
            let is_topic =
                topic::is_filter(prefix) && !prefix.contains(['+', '#']) && !prefix.starts_with('$');
            if !is_topic || !prefix.contains("{device}") {
                self.add(
                    &format!("{cloud}.mount-prefix"),
                    "should be a Topic Name with `{device}` in it, so that devices are kept apart",
                );
            }
        }
        Places { topics, mount_prefix }
    }
}
