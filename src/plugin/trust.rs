//! Whether the bytes of a plugin are those that the operator wants: the pin on their digest, and who signed them.
//!
//! What is looked at here is what is compiled afterwards; the file is not read again in between. That holds for
//! compiled code from the cache too, which is found by the digest of these bytes.

use std::io;
use std::path::{Path, PathBuf};

use minisign_verify::{Error, PublicKey, Signature};

use super::error::Problem;
use super::file;

/// Which bytes are taken for a plugin; by default any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Of the file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Public keys as minisign writes them: base64 that begins with `RW`.
    pub keys: Vec<String>,
    /// Where the signature lies; none: beside the plugin, with `.minisig` after its name.
    pub signature: Option<PathBuf>,
    /// Without it, a file may have no signature; one that it has is checked where there are keys.
    pub signature_required: bool,
}

/// Bytes. A signature has about 300.
const LARGEST_SIGNATURE: u64 = 8 << 10;

impl Trust {
    /// Where the signature of this plugin file is looked for; none where no signature is.
    pub(super) fn signature_of(&self, plugin: &Path) -> Option<PathBuf> {
        let is_beside = || plugin.with_added_extension("minisig");
        (!self.keys.is_empty()).then(|| self.signature.clone().unwrap_or_else(is_beside))
    }

    pub(super) fn check(&self, plugin: &Path, bytes: &[u8], sha256: &str) -> Result<(), Problem> {
        self.check_digest(sha256)?;
        match self.signature_of(plugin) {
            None if self.signature_required || self.signature.is_some() => Err(Problem::NoTrustedKeys),
            None => Ok(()),
            Some(signature) => self.check_signature(&signature, bytes),
        }
    }

    fn check_digest(&self, found: &str) -> Result<(), Problem> {
        match &self.sha256 {
            Some(pinned) if !pinned.eq_ignore_ascii_case(found) => {
                Err(Problem::AnotherDigest { found: found.to_owned(), pinned: pinned.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_signature(&self, path: &Path, bytes: &[u8]) -> Result<(), Problem> {
        let refuse = |reason: String| Problem::Signature { path: path.to_owned(), reason };
        let text = match file::read_at_most(path, LARGEST_SIGNATURE, "") {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.may_be_unsigned() => return Ok(()),
            Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
        };
        let signature = std::str::from_utf8(&text).ok().and_then(|text| Signature::decode(text).ok());
        let Some(signature) = signature else { return Err(refuse("is no minisign signature".into())) };
        let mut reason = "is by a key that is not among `trusted-keys`";
        for key in &self.keys {
            let Ok(key) = PublicKey::from_base64(key) else { return Err(Problem::BadKey(key.clone())) };
            // Legacy signatures are over the bytes instead of their hash; minisign takes them too.
            match key.verify(bytes, &signature, true) {
                Ok(()) => return Ok(()),
                Err(Error::UnexpectedKeyId) => {}
                Err(_) => reason = "does not belong to these bytes",
            }
        }
        Err(refuse(reason.into()))
    }

    fn may_be_unsigned(&self) -> bool {
        !self.signature_required && self.signature.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use minisign::KeyPair;

    use super::*;

    const PLUGIN: &[u8] = b"\0asm the bytes of a plugin";

    /// A plugin file, signed by the first of two keys.
    struct Signed {
        plugin: PathBuf,
        signer: KeyPair,
        other: KeyPair,
    }

    impl Signed {
        fn new(name: &str) -> Signed {
            let folder = std::env::temp_dir().join(format!("tidegate-trust-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            let key = || KeyPair::generate_unencrypted_keypair().unwrap();
            let signed = Signed { plugin: folder.join("p.wasm"), signer: key(), other: key() };
            signed.sign(PLUGIN, "p.wasm.minisig");
            signed
        }

        fn sign(&self, bytes: &[u8], name: &str) -> PathBuf {
            let signature = minisign::sign(None, &self.signer.sk, bytes, None, None).unwrap();
            let path = self.plugin.with_file_name(name);
            fs::write(&path, signature.into_string()).unwrap();
            path
        }

        fn check(&self, trust: &Trust) -> Result<(), String> {
            let sha256 = super::super::digest::sha256_hex(PLUGIN);
            trust.check(&self.plugin, PLUGIN, &sha256).map_err(|problem| problem.to_string())
        }
    }

    fn trusting(keys: &[&KeyPair]) -> Trust {
        let keys = keys.iter().map(|pair| pair.pk.to_base64()).collect();
        Trust { keys, signature_required: true, ..Trust::default() }
    }

    #[test]
    fn a_pinned_digest_is_compared_whatever_its_case() {
        let signed = Signed::new("pin");
        let sha256 = super::super::digest::sha256_hex(PLUGIN);
        let pinned = |sha256: String| Trust { sha256: Some(sha256), ..Trust::default() };
        assert_eq!(signed.check(&pinned(sha256.to_uppercase())), Ok(()));
        let refusal = signed.check(&pinned(sha256.replace(&sha256[..1], "x"))).unwrap_err();
        assert!(refusal.contains(&sha256), "{refusal}");
    }

    #[test]
    fn a_signature_by_any_trusted_key_is_taken_and_another_is_not() {
        let signed = Signed::new("keys");
        assert_eq!(signed.check(&trusting(&[&signed.other, &signed.signer])), Ok(()));
        let refusal = signed.check(&trusting(&[&signed.other])).unwrap_err();
        assert!(refusal.contains("not among `trusted-keys`"), "{refusal}");
        let bad = Trust { keys: vec!["RWnonsense".into()], ..Trust::default() };
        assert!(signed.check(&bad).unwrap_err().contains("RWnonsense"));
    }

    #[test]
    fn a_signature_of_other_bytes_is_refused() {
        let signed = Signed::new("bytes");
        signed.sign(b"\0asm the bytes of another", "p.wasm.minisig");
        let refusal = signed.check(&trusting(&[&signed.signer])).unwrap_err();
        assert!(refusal.contains("does not belong to these bytes"), "{refusal}");
        fs::write(signed.plugin.with_file_name("p.wasm.minisig"), "hello").unwrap();
        let refusal = signed.check(&trusting(&[&signed.signer])).unwrap_err();
        assert!(refusal.contains("no minisign signature"), "{refusal}");
    }

    #[test]
    fn a_missing_signature_is_refused_where_it_is_required_or_named() {
        let signed = Signed::new("missing");
        let required = trusting(&[&signed.signer]);
        let optional = Trust { signature_required: false, ..required.clone() };
        fs::remove_file(signed.plugin.with_file_name("p.wasm.minisig")).unwrap();
        assert!(signed.check(&required).unwrap_err().contains("p.wasm.minisig"));
        assert_eq!(signed.check(&optional), Ok(()));
        let elsewhere = signed.plugin.with_file_name("elsewhere");
        let named = Trust { signature: Some(elsewhere), ..optional };
        assert!(signed.check(&named).unwrap_err().contains("elsewhere"));
        signed.sign(PLUGIN, "elsewhere");
        assert_eq!(signed.check(&named), Ok(()));
        let keyless = Trust { keys: Vec::new(), ..required };
        assert!(signed.check(&keyless).unwrap_err().contains("trusted-keys"));
    }
}
