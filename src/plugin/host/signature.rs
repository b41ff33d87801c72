//! Signatures of JSON Web Tokens and the like, by a key in the form in which keys are handed around.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use spki::der::asn1::{AnyRef, UintRef};
use spki::der::{Decode as _, Reader as _, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::plugin::bindings::tidegate::plugin::crypto::{SignatureAlgorithm, SignatureError};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Bits of the modulus that ring takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Whether who has the private key signed the message.
pub(super) fn verify(
    algorithm: SignatureAlgorithm,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, SignatureError> {
    let key = key(algorithm, public_key).ok_or(SignatureError::InvalidKey)?;
    Ok(UnparsedPublicKey::new(verification(algorithm), key).verify(message, signature).is_ok())
}

/// The key proper, where it is one of the algorithm.
fn key(algorithm: SignatureAlgorithm, public_key: &[u8]) -> Option<&[u8]> {
    let info = SubjectPublicKeyInfoRef::from_der(public_key).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    let named = info.algorithm.parameters;
    let is_on =
        |curve| named.and_then(|named: AnyRef<'_>| named.decode_as::<ObjectIdentifier>().ok()) == Some(curve);
    let is_point = |length: usize| key.len() == 1 + 2 * length && key.first() == Some(&4);
    use SignatureAlgorithm as Is;
    let fits = match algorithm {
        Is::Rs256 | Is::Rs384 | Is::Rs512 | Is::Ps256 | Is::Ps384 | Is::Ps512 => {
            info.algorithm.oid == RSA && rsa_bits(key).is_some_and(|bits| RSA_BITS.contains(&bits))
        }
        Is::Es256 => info.algorithm.oid == ELLIPTIC_CURVE && is_on(P256) && is_point(32),
        Is::Es384 => info.algorithm.oid == ELLIPTIC_CURVE && is_on(P384) && is_point(48),
        Is::Eddsa => info.algorithm.oid == ED25519 && key.len() == 32,
    };
    fits.then_some(key)
}

/// Of the modulus, the first number of the sequence.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let numbers = |reader: &mut SliceReader<'_>| -> spki::der::Result<usize> {
        let modulus = UintRef::decode(reader)?;
        UintRef::decode(reader)?;
        let bytes = modulus.as_bytes();
        let leading = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
        Ok(8 * bytes.len() - leading)
    };
    SliceReader::new(key).ok()?.sequence(numbers).ok()
}

fn verification(algorithm: SignatureAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        SignatureAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SignatureAlgorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        SignatureAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        SignatureAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        SignatureAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        SignatureAlgorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        SignatureAlgorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        SignatureAlgorithm::Eddsa => &signature::ED25519,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Keys and signatures of `tidegate`, made with the package cryptography for Python.
    const RSA_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApGZpqA3kfdJMC0r2onQN0P2lVtyW9VRM9010ap0t0TguOqTnLAgx5BGneVOq3k850/vJrnDeLznrNfdLGTVYtgLhnnSFC0kqcLdDqzGUb+mjmibat2bfiDUv4yKsRqJB5/loPPw8k6jfnCOUaGnPIE16zCrjKNS9LiBJFKKYz7n9d5HgjaAGuoHsll+T3/YstPLIiJmtdAnLxPeytGJYdXwtaSOX8DH0Wzgqby7ZWu2hj+AyBrR4zVxMSAU2awQd9Pp21mLt4Rkqmkb5JzLIHb3mN+VtXyxwwTFLi/ud16DdTCil0NYM67XHg+YweMimuW9XN0392HXC2fZ5j7ttSQIDAQAB";
    const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmFh2Fewiva9OIa5SW+Qa8JkFnvMJV3Q+24AGjA8RXqPKmSCHDgUyXwGbUKML2CWd6fBoOaziC7jE+zJXDb0JEw==";
    const P384_KEY: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEkKpxDsK+oiaEjJWF9R9Ia3eKTdSl+T3nVNxHSEoAy+eHcLeP1ZosG2k62DC4madyk9ClywcPVLXDOT9tLcFLvy6uxfy0AbUOMUnpA7fFNSLP4NDjIP8f6W6dmlXnrldB";
    const ED25519_KEY: &str = "MCowBQYDK2VwAyEAxzYgk7tU/F3AELvtCS27r4XIu7P8Mu/WFICNnLxWylU=";
    const SMALL_RSA: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDMTBS110J0RdAfuqkZwb83PhL1d+1JVcGMJdKovp4s8wEG4iD1yKqL/9aS5vqK1w5KEfvCf0Q/i8uzZOY7E/9tXj0ucK+pyQKE4dBhJjhvpT2oWfhjM16Mtu6VdvD1A4zqq6fvBN6zzNX8xKtsiiJVB6qv1u93Yd30B7PYWOA3qQIDAQAB";
    const SIGNATURES: [(SignatureAlgorithm, &str, &str); 9] = [
        (
            SignatureAlgorithm::Rs256,
            RSA_KEY,
            "FUPzNKZHIS/HY0542ynlCCIpxxRLm5+ubEESq/7E6nzpiEbq82Xwt1mhT0AhXKe/eNJWAk0ZEWriXmzdvuWnD9nYw7noEXrgyAcRK9LmEH5WMuXDvhXQwrBCUZY4Fq5D/7JpRhtFMpqNUG3tcbxHl2VA/M3xAihdwE4Ug9Rj/8lV2GG04S0rQTBq8N5LuWiMekJ3Z2fZw0Da7wRu0PF/teCsqAUauY2ffmwsbUUAFbvH+LI1Svqd2Gg5Gs6ahphifs7YpQkQtU0hwtFZZ0xqFW3LN8s0UQagUVIrXOZPcXvlam/FfQLQDINzYsHGdooJ2f+1TlTfN15BIPSfetpMmg==",
        ),
        (
            SignatureAlgorithm::Ps256,
            RSA_KEY,
            "e3FHR8lytc+GFRGk1ZEy3D3RaMEw/8fQXhhwSINGUY0SVqbpG8mE/NwHX8MNz98OjI+T3IMH4lbL/MuxLiF8e9FkBVUOiZAwBAmFsHth4yo66KDxEqenC/93UTN+6TAhobWtw+BfCjK9Pi83iHf6sP+7hJ56005iw0d2r0RRWHuSy+uYJjmKnIkSATJuHRJZN0PePj6bbbjqZIVmhM+nmEeGmdBVt1y8FjJj9/KBjlrOMPrAoQSvARivQt/Jle5YDyiw2r/MANBxGAn0s3e1miLl3MhWzp+OF4GBipRRF73YQPFQ5BzRln4mRcc8C+YERMsOWiVs/wBE7aDukRJdMg==",
        ),
        (
            SignatureAlgorithm::Rs384,
            RSA_KEY,
            "FUFquklsjnQ+465cPueoB4Zs5kGLYaL8+I9eNX/RQ01WUvkUQHHkknxOrEC/7ixN6beqbl+ARSD/N2J+Gus1NbQJg8oqICO0trLyCKMfog7mvTI8S/1TNYCLQzg83lhhhxQ4nhG8ZgxP8NekkdrtFx3w4Kt8JN/3aWW6IWM+o2Bj1Vv+ipGBQwlvh6mAo2TNOU7iN/+JQdcwjGIKDBUB69qADq+YD66l2dRGlhXNqqOCAhyy8OYhioGtoqAYbcyZQt9uqHlTGdJHsvgeNEkpxi7FIApoMu7AWuGHM7/O89z7qWeQqsLYXJ/wljjp+aBr+m91lGZ9EPkOuvTCA4+DsQ==",
        ),
        (
            SignatureAlgorithm::Ps384,
            RSA_KEY,
            "dAR2Q1op2klW5k9Zmx/JNCoiSRFUaS4YqwnoMdD4pnhCbZItjEZOlocPlPKNo1CMa+R9ChiyQeM4cxHKMlJH5eIMs5nr+G7EIwCBVqtNrdHncIgfwYgT/6UQ2DVJ3DSdpYL+ZiHguFBIXlsNm9H99Veti2DojIKJxc24vmiFXcai4ZDAPI0YlTIwOf2QGxIoA6UfTUIyU5b2HswUCZerJw0Aev1Ujttu9AhoVVVbF9mdkQG2OPAjlQwaxc/SyGddi2Nf2xnJZgFQERsuGOtaj5v91Z8pCwC+VmnXltYWKbgM/MbLMTMRSAI1j5hsz07WG4Sr/z08FQ4BrOGEPLNf1w==",
        ),
        (
            SignatureAlgorithm::Rs512,
            RSA_KEY,
            "jHCUz4GHdtWQon+62zIpbpvNQkkCsXnrQ0AeoRvgyozv7NBBE2pVxeRGXLUG/kVMSEwfljKPjbsvBKER66cQds1UldnuARZ50umNc+ug0tdGXBaozHeQEoZ35nz53+Bo3Wpkw7Ywq8eJDFORC0p9Ba2jIQxUxRQSCgiAN66O0DH8/zztzBhBwZuxDKvo8cHitGa3AqUjUFMFBl6QNfHX39e4veHUi7Ci6IQNDkl9Xi1NQhpjDnt7cw9yXXcJTI+sDSWqhnHUSMy+WdvxEB8Hg0DW2LVRvzrRHm6VXB54EDm0m72XzaERJ4CVOq3zO552Nj8IIuGvYa0vF6WwdnFr5w==",
        ),
        (
            SignatureAlgorithm::Ps512,
            RSA_KEY,
            "fVxZmJLi3E3wf8l+O+PEkq2Gy706niV/wXl2Vi0QpPT/66vZ9xCC9HtREL9/vUI/H+Bu1RRXWLYXBT9/WJN9m5DnkeGy6j9c31CJDu8qSPj0UA2bwQZsTAVRlWmvREcnqFecDjepYmHVavMpzE7UHY0PXgizo2d6tfAQGxT7J7+VNNRI0jaqJV2fCNIZa+KoHYE8yvCr68cB2DdVR08RYTg5GEC0HkFI3LRJNa8S2PLBaMxLSRNG2rmddPFfsc1tUstmtHJuBsVBntjXzhySwEFlVuPOmu/DVvEcxtvlESxZdXHe+YeIIWLa6UcoeEYyKAvB51xwE0b/06uKVrdKOg==",
        ),
        (
            SignatureAlgorithm::Es256,
            P256_KEY,
            "Ob8FW6WPG352DfyGoeSbWs2XF6KW5hPSyItOHj2YEmqKKjkDNmN+TwKhxD2wUR2Y3+tMUzc6HeXCJIXua52iwg==",
        ),
        (
            SignatureAlgorithm::Es384,
            P384_KEY,
            "8ehilTaSDpBjvAbLYSTZyMIqjeuFjhN4Si0+kZfc6JzWCI3cnI6dM0cd33vQaKpL67iHXBBX0H1IYC3U5WEKDWRc8zL7LJDWtV4LfJ8fkiJyvbx82uNk5SmjslneUW2G",
        ),
        (
            SignatureAlgorithm::Eddsa,
            ED25519_KEY,
            "FUEzOwYfSqLGyXDOMNXI+OnPBYhzrZ0JyMDrnVw2oHg5SfgDTsARPCg5AHjUCan/53lDJSc7IoVmNIv6h+3LDQ==",
        ),
    ];

    fn decode(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_message_and_no_other() {
        for (algorithm, key, signature) in SIGNATURES {
            let (key, mut signature) = (decode(key), decode(signature));
            assert_eq!(verify(algorithm, &key, b"tidegate", &signature), Ok(true), "{algorithm:?}");
            assert_eq!(verify(algorithm, &key, b"tidegatf", &signature), Ok(false), "{algorithm:?}");
            assert_eq!(verify(algorithm, &key, b"tidegate", b""), Ok(false), "{algorithm:?}");
            signature[5] ^= 1;
            assert_eq!(verify(algorithm, &key, b"tidegate", &signature), Ok(false), "{algorithm:?}");
        }
    }

    #[test]
    fn a_key_of_another_algorithm_or_half_a_key_is_told_apart() {
        for (algorithm, own, signature) in SIGNATURES {
            for other in [RSA_KEY, P256_KEY, P384_KEY, ED25519_KEY, SMALL_RSA]
                .into_iter()
                .filter(|other| *other != own)
            {
                let verdict = verify(algorithm, &decode(other), b"tidegate", &decode(signature));
                assert_eq!(verdict, Err(SignatureError::InvalidKey), "{algorithm:?}");
            }
            let own = decode(own);
            for end in 0..own.len() {
                let verdict = verify(algorithm, &own[..end], b"tidegate", b"");
                assert_eq!(verdict, Err(SignatureError::InvalidKey), "{algorithm:?} {end}");
            }
        }
    }
}
