//! Which certificate is for the name that a client asks for.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by their names.
#[derive(Debug)]
pub(super) struct ByName {
    named: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that ask for no name, or for another.
    default: Arc<CertifiedKey>,
}

impl ByName {
    pub(super) fn new(default: Arc<CertifiedKey>) -> ByName {
        ByName { named: HashMap::new(), default }
    }

    /// The first that has a name keeps it. `*.` stands for one label.
    pub(super) fn add(&mut self, name: &str, certificate: &Arc<CertifiedKey>) {
        self.named.entry(name.to_ascii_lowercase()).or_insert_with(|| certificate.clone());
    }

    fn get(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let find = |name: &str| {
            let name = name.to_ascii_lowercase();
            let of_its_kind = || self.named.get(&format!("*.{}", name.split_once('.')?.1));
            self.named.get(&name).or_else(of_its_kind)
        };
        name.and_then(find).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get(client.server_name()).clone())
    }
}
