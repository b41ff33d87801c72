//! Password hashes in the formats that other servers keep: which parameters a hash asks for, whether the
//! broker gives that much, and whether a password fits. Pure, and slow on purpose.
//!
//! What the parameters may be is bounded, as whoever wrote the hash decides how long a thread computes.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_NO_PAD};
use ring::pbkdf2;
use sha2::{Digest, Sha512};

use super::digest::constant_time_equal;

/// KiB of memory.
const MOST_ARGON2_MEMORY: u32 = 256 * 1024;
/// KiB of memory times passes: about two seconds of a processor of 2020.
const MOST_ARGON2_WORK: u64 = 1024 * 1024;
const MOST_ARGON2_LANES: u32 = 64;
const MOST_BCRYPT_COST: u32 = 14;
const MOST_PBKDF2_ITERATIONS: u32 = 2_000_000;

/// Characters; a longer text is no hash.
const LONGEST: usize = 1024;
/// Bytes of a hash proper; with fewer, passwords would fit by chance.
const SHORTEST_OUTPUT: usize = 16;
const LONGEST_OUTPUT: usize = 64;

/// Why a hash is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownFormat,
    TooCostly,
}

/// Whether the password is the one that was hashed.
pub(super) fn verify(password: &[u8], hash: &str) -> Result<bool, Refusal> {
    if hash.len() > LONGEST {
        return Err(Refusal::UnknownFormat);
    }
    let fields: Vec<&str> = hash.strip_prefix('$').ok_or(Refusal::UnknownFormat)?.split('$').collect();
    match fields.as_slice() {
        ["argon2id", rest @ ..] => verify_argon2(Algorithm::Argon2id, password, rest),
        ["argon2i", rest @ ..] => verify_argon2(Algorithm::Argon2i, password, rest),
        ["argon2d", rest @ ..] => verify_argon2(Algorithm::Argon2d, password, rest),
        ["2a" | "2b" | "2y", cost, _] => verify_bcrypt(password, cost, hash),
        ["pbkdf2-sha256", rounds, salt, output] => {
            verify_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256, password, &pbkdf2_parts(rounds, salt, output)?)
        }
        ["pbkdf2-sha512", rounds, salt, output] => {
            verify_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA512, password, &pbkdf2_parts(rounds, salt, output)?)
        }
        ["6", salt, output] => verify_salted_sha512(password, salt, output),
        ["7", iterations, salt, output] => {
            let parts = Pbkdf2 {
                iterations: number(iterations)?,
                salt: decode(&STANDARD, salt)?,
                output: checked_output(decode(&STANDARD, output)?)?,
            };
            verify_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA512, password, &parts)
        }
        _ => Err(Refusal::UnknownFormat),
    }
}

fn verify_argon2(algorithm: Algorithm, password: &[u8], fields: &[&str]) -> Result<bool, Refusal> {
    // Without a version it is the first one.
    let (version, params, salt, output) = match *fields {
        ["v=19", params, salt, output] => (Version::V0x13, params, salt, output),
        ["v=16", params, salt, output] | [params, salt, output] => (Version::V0x10, params, salt, output),
        _ => return Err(Refusal::UnknownFormat),
    };
    let [memory, passes, lanes] = parameters(params, ["m", "t", "p"])?;
    if memory > MOST_ARGON2_MEMORY
        || u64::from(memory) * u64::from(passes) > MOST_ARGON2_WORK
        || lanes > MOST_ARGON2_LANES
    {
        return Err(Refusal::TooCostly);
    }
    let salt = decode(&STANDARD_NO_PAD, salt)?;
    let output = checked_output(decode(&STANDARD_NO_PAD, output)?)?;
    let params =
        Params::new(memory, passes, lanes, Some(output.len())).map_err(|_| Refusal::UnknownFormat)?;
    let mut found = vec![0; output.len()];
    Argon2::new(algorithm, version, params)
        .hash_password_into(password, &salt, &mut found)
        .map_err(|_| Refusal::UnknownFormat)?;
    Ok(constant_time_equal(&found, &output))
}

fn verify_bcrypt(password: &[u8], cost: &str, hash: &str) -> Result<bool, Refusal> {
    if number(cost)?.get() > MOST_BCRYPT_COST {
        return Err(Refusal::TooCostly);
    }
    // As everywhere, what is behind the 72nd byte does not count.
    bcrypt::verify(password, hash).map_err(|_| Refusal::UnknownFormat)
}

/// mosquitto_passwd of old: one round of SHA-512 over password and salt.
fn verify_salted_sha512(password: &[u8], salt: &str, output: &str) -> Result<bool, Refusal> {
    let (salt, output) = (decode(&STANDARD, salt)?, decode(&STANDARD, output)?);
    if output.len() != LONGEST_OUTPUT {
        return Err(Refusal::UnknownFormat);
    }
    let found = Sha512::new().chain_update(password).chain_update(salt).finalize();
    Ok(constant_time_equal(&found, &output))
}

struct Pbkdf2 {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// `i=29000,l=32` and base64, or, as Python's passlib writes it, `29000` and base64 with `.` in place of `+`.
fn pbkdf2_parts(rounds: &str, salt: &str, output: &str) -> Result<Pbkdf2, Refusal> {
    let iterations = match rounds.strip_prefix("i=") {
        Some(rest) => number(rest.split(',').next().unwrap_or(rest))?,
        None => number(rounds)?,
    };
    let either = |text: &str| decode(&STANDARD_NO_PAD, text).or_else(|_| decode(&PASSLIB, text));
    Ok(Pbkdf2 { iterations, salt: either(salt)?, output: checked_output(either(output)?)? })
}

fn verify_pbkdf2(algorithm: pbkdf2::Algorithm, password: &[u8], parts: &Pbkdf2) -> Result<bool, Refusal> {
    if parts.iterations.get() > MOST_PBKDF2_ITERATIONS {
        return Err(Refusal::TooCostly);
    }
    // It compares in constant time.
    Ok(pbkdf2::verify(algorithm, parts.iterations, &parts.salt, password, &parts.output).is_ok())
}

const PASSLIB: GeneralPurpose = GeneralPurpose::new(
    &match alphabet::Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./") {
        Ok(alphabet) => alphabet,
        Err(_) => alphabet::STANDARD,
    },
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

fn decode(alphabet: &GeneralPurpose, text: &str) -> Result<Vec<u8>, Refusal> {
    alphabet.decode(text).map_err(|_| Refusal::UnknownFormat)
}

fn checked_output(output: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let is_sound = (SHORTEST_OUTPUT..=LONGEST_OUTPUT).contains(&output.len());
    is_sound.then_some(output).ok_or(Refusal::UnknownFormat)
}

/// A decimal number above zero. What is too large for 32 bits is as costly as the largest.
fn number(text: &str) -> Result<NonZeroU32, Refusal> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::UnknownFormat);
    }
    NonZeroU32::new(text.parse().unwrap_or(u32::MAX)).ok_or(Refusal::UnknownFormat)
}

/// `m=19456,t=2,p=1`, in any order.
fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], Refusal> {
    let mut values = [0; N];
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or(Refusal::UnknownFormat)?;
        let index = names.iter().position(|known| *known == name).ok_or(Refusal::UnknownFormat)?;
        values[index] = number(value)?.get();
    }
    if values.contains(&0) { Err(Refusal::UnknownFormat) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::hash;

    /// Made with argon2-cffi, bcrypt, passlib and hashlib for Python, and with mosquitto_passwd 2.
    const HASHES: [(&str, &str); 13] = [
        (
            "argon2id",
            "$argon2id$v=19$m=64,t=2,p=1$yJ0tn3kvM7hNF/bSijrx0Q$YXkm5JL2Fs0zb1n+HeeRa5qeblz8WWJxvdJWyRh2TRo",
        ),
        (
            "argon2i",
            "$argon2i$v=19$m=64,t=2,p=1$JQzzQmKwdKItLQs7V2SDPA$7T63sJ/zod12vPbhlK+iIthDbb9/gFNDvNFpqNLuB4g",
        ),
        (
            "argon2d",
            "$argon2d$v=19$m=64,t=2,p=1$nPimviZDLDAgZHsPtWSj0w$AoS9GZLFC8RYKbewF0+yMzAPbBOJQsHqfmd/A+gh1RM",
        ),
        (
            "argon2id, first version",
            "$argon2id$v=16$m=64,t=2,p=1$5Yhk5Iq9cjg2QI5wBra9NQ$3gsouniBqGUt0Hqv4OiHjX4uUeWjIt6JM2LTCQKpoUw",
        ),
        (
            "argon2id, two lanes",
            "$argon2id$v=19$m=64,t=1,p=2$cfAb++DtUM7zoylYSDvqQA$UB+3udRVmfMWCUbC7K7JhND8e2WT50Mx",
        ),
        ("bcrypt 2b", "$2b$04$SxXOXP0VtD9zDuor6G.9M.i0l6/OV5SXL46C8LxPp7LiDDXSr8jTG"),
        ("bcrypt 2y", "$2y$04$SxXOXP0VtD9zDuor6G.9M.i0l6/OV5SXL46C8LxPp7LiDDXSr8jTG"),
        ("bcrypt 2a", "$2a$04$6wT5GVmCzhFzus3cEfUqP.X37qTGknKzyy.2078xSwrxTss2QD1zW"),
        (
            "PBKDF2-SHA256 of passlib",
            "$pbkdf2-sha256$1000$vpcyhhCC0FqLcW6NsRbiPA$hGXjKYdWusGjxzIYV04a.ctNMrx4VKuSaxBnJ9jTIk8",
        ),
        (
            "PBKDF2-SHA512 of passlib",
            "$pbkdf2-sha512$1000$ktKaU6rV2jvnHONcy9k7Rw$.ykpyAK9B1ovF0OPCwy9.oTdt9dmaPcTC83AfK/YU36mZeQptL7bpgW08Nz5k2MzMTdbgGcqO05nQTIu/KfmdA",
        ),
        (
            "PBKDF2-SHA256 as PHC",
            "$pbkdf2-sha256$i=1000,l=32$nUQxFAcmGBWCABwtaOcMyg$OkeaiTeoITFJEL3qRR4KR1AbZuyVBTL9RblyIKS4L0A",
        ),
        (
            "mosquitto_passwd of old",
            "$6$dSw0UaW5p1303tHQ$eS+2qJZOaa9uPj7rYjOr1JyVOMsY6UJuaO22uPKUxiYLQQ/5hOxitmg8rrwe6+WW70BvtStKgpT5gcSX9hg+9g==",
        ),
        (
            "mosquitto_passwd",
            "$7$101$6y50OZ/H+rJlmys7$+mm+AL5veUp6xPL3kWSlHS5bsNysouC/W0hj5YMy+WeDJGG0FunhfIUGUpyB6FzAL5LfZb3iBBqoK2XVYvy7Jg==",
        ),
    ];

    #[test]
    fn a_password_fits_the_hash_that_another_program_made_of_it() {
        for (format, hash) in HASHES {
            assert_eq!(verify(b"correct horse", hash), Ok(true), "{format}");
            assert_eq!(verify(b"correct horsf", hash), Ok(false), "{format}");
            assert_eq!(verify(b"", hash), Ok(false), "{format}");
        }
    }

    #[test]
    fn what_is_no_hash_or_only_part_of_one_is_told_apart() {
        let other = [
            "",
            "$",
            "correct horse",
            "$1$salt$hash",
            "$6$c2FsdA==$c2hvcnQ=",
            "$6$rounds=5000$saltsalt$IxyzIxyzIxyz",
            "$7$0$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "$7$101$c2FsdA==$",
            "$pbkdf2-sha256$1000$c2FsdA$",
            "$argon2id$v=19$m=19456,t=2$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=18$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$",
            "$argon2id$v=19$m=19456,t=2,p=1$cw$AAAAAAAAAAAAAAAAAAAAAA",
            "$2b$10$short",
            "$2x$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijkl",
        ];
        for hash in other {
            assert_eq!(verify(b"correct horse", hash), Err(Refusal::UnknownFormat), "{hash}");
        }
        // Half of what PBKDF2 gives is what it gives where half is asked for; a few bytes are too few.
        for (format, hash) in HASHES {
            let last = hash.rfind('$').unwrap();
            for end in 0..last + 20 {
                let verdict = verify(b"correct horse", &hash[..end]);
                assert_eq!(verdict, Err(Refusal::UnknownFormat), "{format} {end}");
            }
        }
    }

    #[test]
    fn a_hash_that_asks_for_too_much_is_refused_before_it_is_computed() {
        let costly = [
            "$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=65536,t=17,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=99999999999,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=1024,t=1,p=65$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$2b$15$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijkl",
            "$7$2000001$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "$pbkdf2-sha512$i=99999999999$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ];
        for hash in costly {
            assert_eq!(verify(b"x", hash), Err(Refusal::TooCostly), "{hash}");
        }
    }

    #[test]
    fn a_new_hash_fits_its_password_and_no_other() {
        let hash = hash(b"secret", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(verify(b"secret", &hash), Ok(true));
        assert_eq!(verify(b"Secret", &hash), Ok(false));
    }
}
