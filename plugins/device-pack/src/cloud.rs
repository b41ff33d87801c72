//! What the clouds have in common.

use std::fmt;

use tidegate_plugin::prelude::*;

pub(crate) trait Cloud {
    /// In User Names, logs and metrics.
    fn name(&self) -> &'static str;

    /// Whose CONNECT it is. `now`: seconds since 1970.
    fn identify(&self, connect: &Connect, now: u64) -> Verdict;

    fn places(&self) -> &Places;
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// not the form of this cloud's credentials
    NotMine,
    In(Identity),
    Refused(Refusal),
}

impl From<Result<Identity, Refusal>> for Verdict {
    fn from(result: Result<Identity, Refusal>) -> Self {
        match result {
            Ok(identity) => Self::In(identity),
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

/// A device whose credentials are right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// product key or hub, where the cloud has them
    pub(crate) product: Option<String>,
    pub(crate) device: String,
    /// since 1970; none: the credentials have no end
    pub(crate) expires_at_seconds: Option<u64>,
}

impl Identity {
    /// The User Name under which the rest of the broker knows the device: `tuya:{device}`,
    /// `alibaba:{product}/{device}`.
    pub(crate) fn canonical(&self, cloud: &str) -> String {
        match &self.product {
            Some(product) => format!("{cloud}:{product}/{}", self.device),
            None => format!("{cloud}:{}", self.device),
        }
    }

    pub(crate) fn from_canonical(cloud: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(cloud)?.strip_prefix(':')?;
        let (product, device) = match rest.split_once('/') {
            Some((product, device)) => (Some(product), device),
            None => (None, rest),
        };
        let is_good = is_name(device) && product.is_none_or(is_name);
        is_good.then(|| Self {
            product: product.map(str::to_owned),
            device: device.to_owned(),
            expires_at_seconds: None,
        })
    }
}

/// A level of a topic, as which names are used.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '+', '#', '\0', '{', '}'])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// no cloud has credentials of this form
    Unknown,
    /// not as the cloud writes it
    Malformed,
    UnknownDevice,
    Forged,
    Expired,
    /// right credentials, of another
    Anothers,
}

impl Refusal {
    /// Who cannot prove who they are gets 0x86; who can, and may not connect, 0x87.
    pub(crate) fn code(self) -> ReasonCode {
        match self {
            Self::Unknown | Self::Malformed | Self::UnknownDevice | Self::Forged => {
                reason::BAD_USER_NAME_OR_PASSWORD
            }
            Self::Expired | Self::Anothers => reason::NOT_AUTHORIZED,
        }
    }

    /// For metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::UnknownDevice => "unknown-device",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Anothers => "anothers",
        }
    }

    /// What the client is told: no more than its credentials show it to know already.
    pub(crate) fn public(self) -> &'static str {
        match self {
            Self::Malformed => "malformed credentials",
            Self::Unknown | Self::UnknownDevice | Self::Forged => "bad user name or password",
            Self::Expired => "the credentials are expired, or the clock is wrong",
            Self::Anothers => "the credentials are another's",
        }
    }
}

/// For the log.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the credentials have the form of no cloud that is set up",
            Self::UnknownDevice => "the device is not in the settings",
            Self::Forged => "the secret does not fit",
            other => other.public(),
        })
    }
}

/// Where a cloud's devices are, and what is theirs. `{device}` and `{product}` are filled in.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) topics: Vec<String>,
    pub(crate) mount_prefix: Option<String>,
}

impl Places {
    pub(crate) fn mount_prefix(&self, identity: &Identity) -> Option<String> {
        self.mount_prefix.as_ref().map(|prefix| fill_in(prefix, identity))
    }

    /// With a mount prefix the topic is the whole one.
    pub(crate) fn may(&self, identity: &Identity, action: Action, topic: &str) -> bool {
        let own = self.topics.iter().map(|filter| fill_in(filter, identity));
        let mounted = self.mount_prefix(identity).map(|prefix| format!("{prefix}/#"));
        own.chain(mounted).any(|filter| match action {
            Action::Subscribe => topic::covers(&filter, topic::without_share(topic)),
            Action::Publish | Action::Deliver => topic::matches(&filter, topic),
        })
    }
}

fn fill_in(template: &str, identity: &Identity) -> String {
    let product = identity.product.as_deref().unwrap_or_default();
    template.replace("{device}", &identity.device).replace("{product}", product)
}

/// Whether a time that the device gave is near enough; both in seconds since 1970.
pub(crate) fn is_near(time: u64, now: u64, skew_seconds: u64) -> bool {
    time.abs_diff(now) <= skew_seconds
}
