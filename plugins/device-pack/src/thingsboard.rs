//! ThingsBoard: the User Name is the device's access token, and there is no Password.

use std::collections::BTreeMap;

use tidegate_plugin::crypto::{self, Algorithm};
use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Places, Verdict};

pub(crate) struct ThingsBoard {
    /// Digest of the token → device. How long a look-up takes then says nothing about a token.
    pub(crate) tokens: BTreeMap<Vec<u8>, String>,
    pub(crate) places: Places,
}

pub(crate) fn digest(token: &str) -> Vec<u8> {
    crypto::digest(Algorithm::Sha256, token.as_bytes())
}

impl Cloud for ThingsBoard {
    fn name(&self) -> &'static str {
        "thingsboard"
    }

    /// A token has no form: what is not known may be another plugin's user.
    fn identify(&self, connect: &Connect, _: u64) -> Verdict {
        let has_password = connect.password().is_some_and(|password| !password.is_empty());
        let token = connect.user_name().filter(|_| !has_password);
        match token.and_then(|token| self.tokens.get(&digest(token))) {
            Some(device) => {
                Verdict::In(Identity { product: None, device: device.clone(), expires_at_seconds: None })
            }
            None => Verdict::NotMine,
        }
    }

    fn places(&self) -> &Places {
        &self.places
    }
}
