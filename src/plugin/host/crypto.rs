//! `crypto`: digests and signatures at native speed, and a comparison that does not tell where the
//! difference is.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{HostData, signature};
use crate::plugin::bindings::tidegate::plugin::crypto::{
    Algorithm, Host, SignatureAlgorithm, SignatureError,
};
use crate::plugin::digest::constant_time_equal;

impl Host for HostData {
    fn digest(&mut self, algorithm: Algorithm, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.count_host_call()?;
        Ok(match algorithm {
            Algorithm::Md5 => Md5::digest(data).to_vec(),
            Algorithm::Sha1 => Sha1::digest(data).to_vec(),
            Algorithm::Sha256 => Sha256::digest(data).to_vec(),
            Algorithm::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    fn hmac(&mut self, algorithm: Algorithm, key: Vec<u8>, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.count_host_call()?;
        Ok(match algorithm {
            Algorithm::Md5 => authenticate::<Hmac<Md5>>(&key, &data),
            Algorithm::Sha1 => authenticate::<Hmac<Sha1>>(&key, &data),
            Algorithm::Sha256 => authenticate::<Hmac<Sha256>>(&key, &data),
            Algorithm::Sha512 => authenticate::<Hmac<Sha512>>(&key, &data),
        })
    }

    fn constant_time_equal(&mut self, a: Vec<u8>, b: Vec<u8>) -> wasmtime::Result<bool> {
        self.count_host_call()?;
        Ok(constant_time_equal(&a, &b))
    }

    fn verify_signature(
        &mut self,
        algorithm: SignatureAlgorithm,
        public_key: Vec<u8>,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, SignatureError>> {
        self.count_host_call()?;
        Ok(signature::verify(algorithm, &public_key, &message, &signature))
    }
}

fn authenticate<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn hmac_gives_the_values_of_rfc_2104_and_rfc_4231() {
        let jefe = |mac: Vec<u8>| hex(&mac);
        let (key, data) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(jefe(authenticate::<Hmac<Md5>>(key, data)), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(jefe(authenticate::<Hmac<Sha1>>(key, data)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            jefe(authenticate::<Hmac<Sha256>>(key, data)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
