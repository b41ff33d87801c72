//! What the operator wrote ([`Settings`]) and what the plugin works with ([`Products`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) products: Vec<ProductSettings>,
    #[serde(default)]
    pub(crate) unknown_products: UnknownProducts,
    #[serde(default = "a_minute")]
    pub(crate) authorization_cache_seconds: u32,
    #[serde(default)]
    pub(crate) limits: bool,
}

fn a_minute() -> u32 {
    60
}

/// A CONNECT whose User Name is none of the products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UnknownProducts {
    #[default]
    Deny,
    /// leave it to the next plugin
    Next,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ProductSettings {
    id: String,
    key: Option<String>,
    #[serde(default)]
    devices: BTreeMap<String, String>,
    #[serde(default)]
    accept_unlisted_devices: bool,
    #[serde(default)]
    refused_devices: BTreeSet<String>,
    old_platform: Option<OldPlatformSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OldPlatformSettings {
    api_key: Option<String>,
    #[serde(default)]
    devices: BTreeMap<String, String>,
    #[serde(default)]
    shared_commands: bool,
}

/// A secret to compute HMACs with, decoded. It is not shown by `Debug`.
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The products by their ids.
#[derive(Debug)]
pub(crate) struct Products(BTreeMap<String, Product>);

#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) key: Option<Key>,
    /// none: only with the product's key
    devices: BTreeMap<String, Option<Key>>,
    accept_unlisted_devices: bool,
    refused_devices: BTreeSet<String>,
    pub(crate) old_platform: Option<OldPlatform>,
}

pub(crate) struct OldPlatform {
    pub(crate) api_key: Option<String>,
    /// numeric device id → auth info
    pub(crate) devices: BTreeMap<String, String>,
    pub(crate) shared_commands: bool,
}

impl fmt::Debug for OldPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldPlatform").field("shared_commands", &self.shared_commands).finish_non_exhaustive()
    }
}

impl Products {
    /// Says all that is wrong with the settings at once.
    pub(crate) fn check(settings: Vec<ProductSettings>) -> Result<Self, String> {
        let mut problems = Problems(Vec::new());
        let mut products = BTreeMap::new();
        if settings.is_empty() {
            problems.add(
                "products",
                "name at least one, as a table [[plugin.settings.products]] with `id` and `key`",
            );
        }
        for (index, product) in settings.into_iter().enumerate() {
            let place = format!("products[{index}]");
            if !is_name(&product.id) {
                problems.add(&format!("{place}.id"), "should be the product id, without `/`, `+` and `#`");
            }
            if products.contains_key(&product.id) {
                problems.add(&format!("{place}.id"), &format!("product {} is there twice", product.id));
            }
            let (id, product) = Product::check(product, &place, &mut problems);
            products.insert(id, product);
        }
        problems.into_result().map(|()| Self(products))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Product> {
        self.0.get(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn devices(&self) -> usize {
        self.0.values().map(|product| product.devices.len()).sum()
    }
}

impl Product {
    fn check(settings: ProductSettings, place: &str, problems: &mut Problems) -> (String, Self) {
        let ProductSettings { id, key, devices, accept_unlisted_devices, refused_devices, old_platform } =
            settings;
        let has_key = key.is_some();
        let old_platform =
            old_platform.map(|old| OldPlatform::check(old, &format!("{place}.old-platform"), problems));
        let has_master = has_key || old_platform.as_ref().is_some_and(|old| old.api_key.is_some());
        if !has_key && devices.is_empty() && old_platform.is_none() {
            problems.add(place, "give it a `key`, or `devices` with theirs: nobody can connect without");
        }
        if accept_unlisted_devices && !has_master {
            problems.add(
                &format!("{place}.accept-unlisted-devices"),
                "needs the product's `key`: an unlisted device has none of its own",
            );
        }
        let devices = check_devices(devices, has_key, place, problems);
        let key = key.and_then(|key| decode(&key, &format!("{place}.key"), problems));
        (id, Self { key, devices, accept_unlisted_devices, refused_devices, old_platform })
    }

    /// Whether a device of this name may be, whatever its credentials. A product's token leaves the name to
    /// the client, so one like `+` has to be refused here.
    pub(crate) fn knows(&self, device: &str) -> bool {
        let listed = self.devices.contains_key(device) || self.accept_unlisted_devices;
        is_name(device) && listed && !self.refused_devices.contains(device)
    }

    pub(crate) fn knows_on_old_platform(&self, device: &str) -> bool {
        let listed = self.old_platform.as_ref().is_some_and(|old| old.devices.contains_key(device));
        (listed || self.accept_unlisted_devices) && !self.refused_devices.contains(device)
    }

    /// The keys that may have signed for this device.
    pub(crate) fn keys_for(&self, device: &str) -> impl Iterator<Item = &Key> {
        let own = self.devices.get(device).and_then(Option::as_ref);
        own.into_iter().chain(&self.key)
    }
}

fn check_devices(
    devices: BTreeMap<String, String>,
    product_has_key: bool,
    place: &str,
    problems: &mut Problems,
) -> BTreeMap<String, Option<Key>> {
    let mut checked = BTreeMap::new();
    for (name, key) in devices {
        let place = format!("{place}.devices.{name}");
        if !is_name(&name) {
            problems.add(&place, "a device name is not empty, and without `/`, `+` and `#`");
        }
        if key.is_empty() && !product_has_key {
            problems.add(&place, "an empty key means the product's `key`, and there is none");
        }
        let key = if key.is_empty() { None } else { decode(&key, &place, problems) };
        checked.insert(name, key);
    }
    checked
}

impl OldPlatform {
    fn check(settings: OldPlatformSettings, place: &str, problems: &mut Problems) -> Self {
        let OldPlatformSettings { api_key, devices, shared_commands } = settings;
        if api_key.is_none() && devices.is_empty() {
            problems.add(place, "give it an `api-key`, or `devices` with their auth info");
        }
        if api_key.as_ref().is_some_and(String::is_empty) {
            problems.add(&format!("{place}.api-key"), "is empty; leave it out, or copy it from the console");
        }
        for (id, auth_info) in &devices {
            let place = format!("{place}.devices.{id}");
            if !is_number(id) {
                problems.add(&place, "the old platform's device ids are numbers");
            }
            if auth_info.is_empty() && api_key.is_none() {
                problems.add(&place, "an empty auth info means the `api-key`, and there is none");
            }
        }
        Self { api_key, devices, shared_commands }
    }
}

/// A name that is one level of a topic.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '+', '#', '\0'])
}

pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn decode(key: &str, place: &str, problems: &mut Problems) -> Option<Key> {
    match STANDARD.decode(key) {
        Ok(bytes) if !bytes.is_empty() => Some(Key(bytes)),
        _ => {
            problems.add(place, "is not a key in base64; copy it from the console as it is");
            None
        }
    }
}

/// All that is wrong, with its place. Keys are never quoted.
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, problem: &str) {
        self.0.push(format!("{place}: {problem}"));
    }

    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("settings: {}", self.0.join("; "))) }
    }
}
