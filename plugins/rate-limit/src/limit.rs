//! Who is charged how much, and what happens to who has too little.

use serde::Deserialize;
use tidegate_plugin::crypto::{Algorithm, digest};
use tidegate_plugin::prelude::*;

use crate::bucket::{self, Bucket};
use crate::settings::FullState;

#[derive(Debug)]
pub(crate) struct Limit {
    /// Apart from those of all other limits; begins the keys of the state.
    pub(crate) place: usize,
    pub(crate) what: What,
    pub(crate) per: Per,
    pub(crate) bucket: Bucket,
    /// Only messages of these topics; none: all messages.
    pub(crate) topics: Option<Vec<String>>,
    pub(crate) over: Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Messages,
    /// of payloads
    Bytes,
    Connections,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Per {
    /// Client Identifier
    Client,
    /// User Name; who has none is not limited
    User,
    /// without the port
    Address,
}

/// What becomes of a message that is too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Over {
    #[default]
    Reject,
    /// acknowledged, routed to nobody
    Drop,
    Disconnect,
}

/// What one packet costs under one limit.
pub(crate) struct Charge<'a> {
    pub(crate) limit: &'a Limit,
    pub(crate) name: String,
    pub(crate) amount: u64,
}

/// Takes all charges or none; the error is the limit that has too little left.
pub(crate) fn charge<'a>(charges: &[Charge<'a>], full_state: FullState) -> Result<(), &'a Limit> {
    let now = clock::monotonic_ns();
    let mut taken = Vec::with_capacity(charges.len());
    for charge in charges {
        let key = charge.limit.key(&charge.name);
        let before = bucket::read(&key);
        let full_at = charge.limit.bucket.take(before, charge.amount, now).ok_or(charge.limit)?;
        taken.push(Taken { limit: charge.limit, key, before, full_at });
    }
    for (index, charged) in taken.iter().enumerate() {
        if bucket::write(&charged.key, charged.full_at, now).is_err() {
            full_state.note();
            if full_state == FullState::Refuse {
                give_back(&taken[..index], now);
                return Err(charged.limit);
            }
        }
    }
    Ok(())
}

struct Taken<'a> {
    limit: &'a Limit,
    key: String,
    /// When the bucket was to be full again before this, and when it is now.
    before: u64,
    full_at: u64,
}

/// What is refused is charged under none of its limits.
fn give_back(taken: &[Taken<'_>], now: u64) {
    for Taken { key, before, .. } in taken {
        if *before <= now {
            state::delete(key);
        } else {
            // There is room: the entry is there.
            let _ = bucket::write(key, *before, now);
        }
    }
}

impl Limit {
    pub(crate) fn is_about_connections(&self) -> bool {
        self.what == What::Connections
    }

    pub(crate) fn is_about(&self, topic: &str) -> bool {
        let matches = |topics: &Vec<String>| topics.iter().any(|filter| topic::matches(filter, topic));
        !self.is_about_connections() && self.topics.as_ref().is_none_or(matches)
    }

    pub(crate) fn amount_of(&self, publish: &Publish) -> u64 {
        if self.what == What::Bytes { publish.payload_length() as u64 } else { 1 }
    }

    /// A name of 64 KB would use up the state's bytes.
    fn key(&self, name: &str) -> String {
        if name.len() <= MAXIMUM_NAME {
            return format!("{}/{name}", self.place);
        }
        let digest = digest(Algorithm::Sha256, name.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // Longer than any name that is kept as it is, so that nobody can take another's bucket.
        format!("{}/{hex:>width$}", self.place, width = MAXIMUM_NAME + 1)
    }

    /// For metrics and the log.
    pub(crate) fn note(&self, client: &str) {
        metrics::count("limited_total", &[("what", self.what.name()), ("per", self.per.name())], 1);
        log::debug!("limited", client = client, what = self.what.name(), per = self.per.name());
    }
}

const MAXIMUM_NAME: usize = 64;

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
        }
    }
}

impl Per {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::User => "user",
            Self::Address => "address",
        }
    }
}
