//! Huawei IoTDA: Client Identifier `{device}_0_{0|1}_{YYYYMMDDHH}`, User Name the device, Password: hexadecimal
//! HMAC-SHA256 by the hour over the secret. With 1 the device asks for its hour (UTC) to be checked, with 0 not.

use std::collections::BTreeMap;

use tidegate_plugin::crypto::{self, Algorithm};
use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Places, Refusal, Verdict};
use crate::settings::Secret;
use crate::text::{hex, number};

pub(crate) struct Huawei {
    pub(crate) devices: BTreeMap<String, Secret>,
    pub(crate) clock_skew_seconds: u64,
    /// of those that do not ask for it too
    pub(crate) always_check_time: bool,
    pub(crate) places: Places,
}

const HOUR: u64 = 3600;

impl Cloud for Huawei {
    fn name(&self) -> &'static str {
        "huawei"
    }

    fn identify(&self, connect: &Connect, now: u64) -> Verdict {
        match split(connect.client_identifier()) {
            Some((device, checks_time, hour)) => self.check(connect, device, checks_time, hour, now).into(),
            None => Verdict::NotMine,
        }
    }

    fn places(&self) -> &Places {
        &self.places
    }
}

impl Huawei {
    fn check(
        &self,
        connect: &Connect,
        device: &str,
        checks_time: bool,
        hour: &str,
        now: u64,
    ) -> Result<Identity, Refusal> {
        let signature = connect.password().and_then(hex).ok_or(Refusal::Malformed)?;
        let named = connect.user_name().ok_or(Refusal::Malformed)?;
        let secret = self.devices.get(named).ok_or(Refusal::UnknownDevice)?;
        let expected = crypto::hmac(Algorithm::Sha256, hour.as_bytes(), secret.bytes());
        if !crypto::constant_time_equal(&expected, &signature) {
            return Err(Refusal::Forged);
        }
        if named != device {
            return Err(Refusal::Anothers);
        }
        if (checks_time || self.always_check_time) && !self.is_now(hour, now)? {
            return Err(Refusal::Expired);
        }
        Ok(Identity { product: None, device: device.to_owned(), expires_at_seconds: None })
    }

    fn is_now(&self, hour: &str, now: u64) -> Result<bool, Refusal> {
        let start = seconds_of(hour).ok_or(Refusal::Malformed)?;
        let from = start.saturating_sub(self.clock_skew_seconds);
        Ok((from..=start + HOUR + self.clock_skew_seconds).contains(&now))
    }
}

/// Device, whether the hour is to be checked, hour.
fn split(identifier: &str) -> Option<(&str, bool, &str)> {
    let (rest, hour) = identifier.rsplit_once('_')?;
    let (rest, checks_time) = rest.rsplit_once('_')?;
    let device = rest.strip_suffix("_0").filter(|device| !device.is_empty())?;
    let is_hour = hour.len() == 10 && number(hour).is_some();
    let checks_time = match checks_time {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    is_hour.then_some((device, checks_time, hour))
}

/// Since 1970; none where there is no such hour.
fn seconds_of(hour: &str) -> Option<u64> {
    let part = |range| hour.get(range).and_then(number);
    let (year, month, day, hours) = (part(0..4)?, part(4..6)?, part(6..8)?, part(8..10)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month).ok()?.checked_sub(1)?;
    if year < 1970 || day == 0 || day > *lengths.get(month)? || hours > 23 {
        return None;
    }
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let days = (year - 1970) * 365 + leap_days + lengths[..month].iter().sum::<u64>() + day - 1;
    Some(days * 86_400 + hours * HOUR)
}

#[cfg(test)]
mod tests {
    use super::seconds_of;

    #[test]
    fn hours_are_counted_since_1970() {
        for (hour, expected) in [
            ("1970010100", Some(0)),
            ("2000022923", Some(951_865_200)),
            ("2000030100", Some(951_868_800)),
            ("2023111506", Some(1_700_028_000)),
            ("2100022900", None),
            ("2023130100", None),
            ("2023000100", None),
            ("2023111524", None),
            ("2023110006", None),
        ] {
            assert_eq!(seconds_of(hour), expected, "{hour}");
        }
    }
}
