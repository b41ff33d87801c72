//! TLS, under the names of mosquitto_pub.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::client::dial::Dialer;
use crate::daemon::exit::Failure;
use crate::transport::tls::{ClientTlsOptions, OwnCertificate, Trust};

/// Each of these but --servername and --tls-alpn asks for TLS, as the URIs mqtts and wss do.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArguments {
    /// TLS; the broker's certificate is of one of these authorities, a PEM file
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// TLS; the same with a folder of files .crt or .pem
    #[arg(long, value_name = "DIR")]
    capath: Option<PathBuf>,
    /// TLS; the authorities of this machine, which are those without --cafile and --capath too
    #[arg(long, conflicts_with_all = ["cafile", "capath"])]
    tls_use_os_certs: bool,
    /// TLS; this certificate is shown to the broker, a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// TLS; take any certificate, for tests: who is between could read and change everything
    #[arg(long)]
    insecure: bool,
    /// What the certificate is for, where that is not the host
    #[arg(long, value_name = "NAME")]
    servername: Option<String>,
    /// The protocol to ask for in TLS (ALPN)
    #[arg(long, value_name = "NAME")]
    tls_alpn: Option<String>,
}

impl TlsArguments {
    pub(super) fn apply(&self, dialer: &mut Dialer) -> Result<(), Failure> {
        if self.is_wanted() && dialer.tls.is_none() {
            dialer.tls = Some(ClientTlsOptions::default());
        }
        let Some(options) = &mut dialer.tls else { return self.refuse_without_tls() };
        options.trust = self.trust()?;
        options.server_name = self.servername.clone().or(options.server_name.take());
        if let (Some(chain), Some(key)) = (&self.cert, &self.key) {
            options.own_certificate = Some(OwnCertificate { chain: chain.clone(), key: key.clone() });
        }
        if let Some(protocol) = &self.tls_alpn {
            options.application_protocols = vec![protocol.clone()];
        }
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        let files = [&self.cafile, &self.capath, &self.cert];
        self.insecure || self.tls_use_os_certs || files.into_iter().any(Option::is_some)
    }

    fn refuse_without_tls(&self) -> Result<(), Failure> {
        if self.servername.is_none() && self.tls_alpn.is_none() {
            return Ok(());
        }
        let hint = "add --cafile FILE or --tls-use-os-certs, or write -L mqtts://…";
        Err(Failure::usage(format!("--servername and --tls-alpn need TLS; {hint}")))
    }

    fn trust(&self) -> Result<Trust, Failure> {
        if self.insecure {
            return Ok(Trust::Anybody);
        }
        let mut files: Vec<PathBuf> = self.cafile.iter().cloned().collect();
        if let Some(folder) = &self.capath {
            files.extend(authorities_of(folder)?);
        }
        Ok(if files.is_empty() { Trust::System } else { Trust::Authorities(files) })
    }
}

fn authorities_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("failed to read {}: {error}; check --capath", folder.display()))
    };
    let entries = fs::read_dir(folder).map_err(|error| failed(&error))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "crt" || end == "pem"))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(failed(&"it has no file .crt or .pem"));
    }
    Ok(found)
}
