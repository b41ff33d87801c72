//! Pieces of the texts that credentials are made of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Many times the longest; what is longer is not looked at.
pub(crate) const MAXIMUM_LENGTH: usize = 2048;

/// The values of `names` in `name=value,name=value`, each there exactly once, and nothing else but `others`.
pub(crate) fn parameters<'t, const N: usize>(
    text: &'t str,
    separator: char,
    names: [&str; N],
    others: &[&str],
) -> Option<[&'t str; N]> {
    let mut values = [None; N];
    for part in text.split(separator) {
        let (name, value) = part.split_once('=')?;
        match names.iter().position(|wanted| *wanted == name) {
            Some(index) if values[index].is_none() => values[index] = Some(value),
            Some(_) => return None,
            None if others.contains(&name) => {}
            None => return None,
        }
    }
    let mut found = [""; N];
    for (slot, value) in found.iter_mut().zip(values) {
        *slot = value?;
    }
    Some(found)
}

pub(crate) fn number(text: &str) -> Option<u64> {
    // `parse` alone would take a plus sign.
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Upper or lower case.
pub(crate) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// `+` stays what it is: clients that forget to escape a signature send it bare.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(&[bytes.next()?, bytes.next()?])?[0],
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}
