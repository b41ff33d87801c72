//! The certificates of listeners: read again while the broker runs, and watched for their end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::listeners::Listeners;
use crate::broker::Count;
use crate::transport::Door;
use crate::transport::tls::{CertificateStatus, Reloaded};

/// How often it is looked when certificates end.
const LOOKED_AT: Duration = Duration::from_secs(24 * 3600);
/// Days before the end from which on it is told, every day.
const SOON: i64 = 30;
const VERY_SOON: i64 = 7;
const DAY: i64 = 24 * 3600;

/// A certificate that a listener uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerCertificate {
    pub listener: String,
    pub certificate: CertificateStatus,
}

impl Listeners {
    /// Those in use.
    pub fn certificates(&self) -> Vec<ListenerCertificate> {
        let of_one = |(listener, door): (String, std::sync::Arc<Door>)| {
            let certificates = door.tls().map(|tls| tls.certificates()).unwrap_or_default();
            certificates
                .into_iter()
                .map(move |certificate| ListenerCertificate { listener: listener.clone(), certificate })
        };
        self.doors().into_iter().flat_map(of_one).collect()
    }

    /// Certificates, keys, authorities and lists of what is revoked, of all listeners.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let all = self.doors();
        let mut files: Vec<PathBuf> =
            all.iter().filter_map(|(_, door)| door.tls()).flat_map(|tls| tls.files()).collect();
        files.sort();
        files.dedup();
        files
    }

    /// Reads all of these files again. New handshakes use what is in them; a listener of which one cannot be used goes
    /// on with all that it had, which is logged and counted.
    pub fn reload_certificates(&self) {
        self.unusable().clear();
        self.reload_changed_certificates();
    }

    /// The same; what is as wrong as it was is not told again. False: there is one that cannot be used.
    pub fn reload_changed_certificates(&self) -> bool {
        let mut unusable = self.unusable();
        let before = std::mem::take(&mut *unusable);
        for (listener, door) in self.doors() {
            let Some(tls) = door.tls() else { continue };
            match tls.reload() {
                Ok(Reloaded::AsBefore) => {}
                Ok(Reloaded::Changed) => {
                    self.count(Count::CertificateReloads);
                    tracing::info!(%listener, "new certificates, keys, authorities or lists are in use");
                    announce(&listener, &door);
                }
                Err(error) => {
                    let why = error.to_string();
                    if before.get(&listener) != Some(&why) {
                        self.count(Count::CertificateReloadsFailed);
                        tracing::error!(%listener, error = why, "what changed is not taken over, what was before stays in use");
                    }
                    unusable.insert(listener, why);
                }
            }
        }
        unusable.is_empty()
    }

    fn unusable(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.unusable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every day which certificates end soon, for as long as it is polled.
    pub(super) async fn watch_ends(&self) {
        loop {
            sleep(LOOKED_AT).await;
            self.doors().iter().for_each(|(listener, door)| announce_ends(listener, door));
        }
    }
}

/// What the operator should know of files that were read.
pub(super) fn announce(listener: &str, door: &Door) {
    let Some(tls) = door.tls() else { return };
    tls.warnings().iter().for_each(|warning| tracing::warn!(listener, "{warning}"));
    announce_ends(listener, door);
}

fn announce_ends(listener: &str, door: &Door) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
    for CertificateStatus { file, subject, not_after, .. } in
        door.tls().map(|tls| tls.certificates()).unwrap_or_default()
    {
        let file = file.display();
        match days_left(not_after, now) {
            None => {
                tracing::error!(listener, %file, subject, "the certificate has expired: clients do not accept it")
            }
            Some(days) if days < VERY_SOON => {
                tracing::error!(listener, %file, subject, days, "the certificate expires within a week: renew it now");
            }
            Some(days) if days < SOON => {
                tracing::warn!(listener, %file, subject, days, "the certificate expires soon: renew it");
            }
            Some(_) => {}
        }
    }
}

/// Whole days; none where it is over.
fn days_left(not_after: i64, now: i64) -> Option<i64> {
    (not_after >= now).then(|| (not_after - now) / DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_days_left_until_its_last_second() {
        assert_eq!(days_left(1000, 1001), None);
        assert_eq!(days_left(1000, 1000), Some(0));
        assert_eq!(days_left(1000 + 30 * DAY, 1000), Some(30));
        assert_eq!(days_left(999 + 30 * DAY, 1000), Some(29));
    }
}
