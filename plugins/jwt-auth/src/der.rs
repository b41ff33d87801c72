//! Public keys from the numbers of a JSON Web Key, as DER SubjectPublicKeyInfo (RFC 5280, 8017, 5480, 8410).

/// `rsaEncryption`, with NULL.
const RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
/// `id-ecPublicKey`, `prime256v1`.
const P256: &[u8] =
    &[0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// `id-Ed25519`.
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [integer(modulus), integer(exponent)].concat();
    public_key(RSA, &tagged(0x30, &numbers))
}

/// Two numbers of 32 bytes each.
pub(crate) fn p256(x: &[u8], y: &[u8]) -> Vec<u8> {
    public_key(P256, &[&[4], x, y].concat())
}

pub(crate) fn ed25519(key: &[u8]) -> Vec<u8> {
    public_key(ED25519, key)
}

fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    // No bits of the last byte are unused.
    let bits = tagged(3, &[&[0], key].concat());
    tagged(0x30, &[algorithm, &bits].concat())
}

/// Without leading zeros, but for the one that keeps it positive.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let mut positive = bytes[start..].to_vec();
    if positive.first().is_none_or(|&first| first >= 0x80) {
        positive.insert(0, 0);
    }
    tagged(2, &positive)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(0);
        out.push(0x80 | (bytes.len() - start) as u8);
        out.extend_from_slice(&bytes[start..]);
    }
    out.extend_from_slice(content);
    out
}
