//! The plugin as the broker uses it. Signatures are the stand-in's; the broker's tests have real ones.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{crypto::SignatureAlgorithm, testing};

use crate::JwtAuth;

const NOW: u64 = 1_000_000;
const SECRET: &str = "a secret of 32 bytes or more: yes";
const KEY: &[u8] = b"any bytes are a key here";

fn start(settings: Value) -> Result<JwtAuth, String> {
    testing::reset();
    testing::set_now_ms(NOW * 1000);
    JwtAuth::init(tidegate_plugin::settings::parse(&settings.to_string())?).map(|(plugin, _)| plugin)
}

fn plugin(more: Value) -> JwtAuth {
    let mut settings = json!({ "secret": SECRET, "public-keys": pem(KEY) });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    start(settings).expect("good settings")
}

fn refused_settings(settings: Value) -> String {
    start(settings).err().expect("bad settings")
}

fn pem(key: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(key))
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Signed as the header says, by the secret or [`KEY`].
fn token_with(header: Value, claims: Value) -> String {
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = match header["alg"].as_str().unwrap_or_default() {
        "HS256" => crypto::hmac(crypto::Algorithm::Sha256, SECRET.as_bytes(), signed.as_bytes()),
        "RS256" => testing::sign(SignatureAlgorithm::Rs256, KEY, signed.as_bytes()),
        "ES256" => testing::sign(SignatureAlgorithm::Es256, KEY, signed.as_bytes()),
        "EdDSA" => testing::sign(SignatureAlgorithm::Eddsa, KEY, signed.as_bytes()),
        _ => Vec::new(),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(claims: Value) -> String {
    token_with(json!({ "alg": "HS256" }), claims)
}

/// With an end in a minute, and these claims.
fn lasting(more: Value) -> String {
    let mut claims = json!({ "exp": NOW + 60 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    token(claims)
}

fn connect(plugin: &mut JwtAuth, password: &str) -> ConnectVerdict {
    plugin.validate(testing::connect("c1", Some("ada"), Some(password.as_bytes())))
}

fn may(plugin: &mut JwtAuth, action: Action, topic: &str) -> AuthorizerVerdict {
    plugin.authorize(testing::access(action, topic)).cached_for(Duration::ZERO)
}

const BAD: ConnectVerdict = ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD);
const FORBIDDEN: ConnectVerdict = ConnectVerdict::Deny(reason::NOT_AUTHORIZED);
const DENIED: AuthorizerVerdict = AuthorizerVerdict::deny(reason::NOT_AUTHORIZED);

#[test]
fn a_token_of_each_algorithm_lets_in_and_the_connection_ends_with_it() {
    let mut plugin = plugin(json!({}));
    for algorithm in ["RS256", "ES256", "EdDSA", "HS256"] {
        let token = token_with(json!({ "alg": algorithm, "typ": "JWT" }), json!({ "exp": NOW + 60 }));
        assert_eq!(connect(&mut plugin, &token), ConnectVerdict::Allow, "{algorithm}");
        let end = testing::with(|host| host.connection.expires_at.take());
        assert_eq!(end, Some((NOW + 60) * 1000), "{algorithm}");
    }
}

#[test]
fn a_token_that_was_changed_or_signed_by_nobody_lets_nobody_in() {
    let mut plugin = plugin(json!({}));
    let good = lasting(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = part(&json!({ "exp": NOW + 600 }));
    let unsigned = |alg: &str| format!("{}.{other}.", part(&json!({ "alg": alg })));
    // HS256 with a public key for the secret.
    let confused = format!("{}.{other}", part(&json!({ "alg": "HS256" })));
    let mac = crypto::hmac(crypto::Algorithm::Sha256, KEY, confused.as_bytes());
    let confused = format!("{confused}.{}", URL_SAFE_NO_PAD.encode(mac));
    let tokens = [
        format!("{header}.{other}.{signature}"),
        format!("{signed}."),
        format!("{signed}.{}", &signature[1..]),
        unsigned("none"),
        unsigned("None"),
        unsigned("HS256"),
        unsigned("HS512"),
        confused,
        token_with(json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), json!({ "exp": NOW + 60 })),
    ];
    for token in tokens {
        assert_eq!(connect(&mut plugin, &token), BAD, "{token}");
        let told =
            format!("{:?} {:?}", testing::take_reply(), testing::with(|host| std::mem::take(&mut host.log)));
        assert!(!told.contains(&other) && !told.contains(signature), "{told}");
    }
    assert_eq!(connect(&mut plugin, &good), ConnectVerdict::Allow);
}

#[test]
fn half_a_token_at_any_length_lets_nobody_in() {
    let mut plugin = plugin(json!({}));
    let good = lasting(json!({}));
    for end in 0..good.len() {
        assert_eq!(connect(&mut plugin, &good[..end]), BAD, "{end}");
    }
}

#[test]
fn a_password_that_is_no_token_is_refused_or_left_to_others() {
    let mut strict = plugin(json!({}));
    assert_eq!(connect(&mut strict, "secret"), BAD);
    assert_eq!(strict.validate(testing::connect("c1", None, None)), BAD);
    let mut lenient = plugin(json!({ "other-passwords": "next" }));
    assert_eq!(connect(&mut lenient, "secret"), ConnectVerdict::Next);
    assert_eq!(lenient.validate(testing::connect("c1", None, Some(b"\xff"))), ConnectVerdict::Next);
    assert_eq!(connect(&mut lenient, &token(json!({ "exp": NOW }))), FORBIDDEN, "a token is its matter");
    testing::with(|host| host.connection.authentication_method = Some("SCRAM-SHA-256".to_owned()));
    assert_eq!(connect(&mut strict, "secret"), ConnectVerdict::Next);
}

#[test]
fn a_token_can_come_as_the_user_name_which_is_then_another() {
    let mut plugin = plugin(json!({ "token-in": "user-name", "user-name-claim": "sub" }));
    let token = lasting(json!({ "sub": "ada" }));
    assert_eq!(plugin.validate(testing::connect("c1", Some(&token), None)), ConnectVerdict::Allow);
    let assigned = || testing::with(|host| host.connection.assigned_user_name.take());
    assert_eq!(assigned(), Some("ada".to_owned()));
    let mut plugin = self::plugin(json!({ "token-in": "user-name" }));
    assert_eq!(plugin.validate(testing::connect("c1", Some(&token), None)), ConnectVerdict::Allow);
    assert_eq!(assigned(), Some(String::new()), "nobody else sees the token");
}

#[test]
fn a_token_holds_between_its_times() {
    let mut exact = plugin(json!({}));
    for (claims, verdict) in [
        (json!({ "exp": NOW + 1 }), ConnectVerdict::Allow),
        (json!({ "exp": NOW as f64 + 0.5 }), ConnectVerdict::Allow),
        (json!({ "exp": NOW }), FORBIDDEN),
        (json!({ "exp": NOW + 1, "nbf": NOW }), ConnectVerdict::Allow),
        (json!({ "exp": NOW + 9, "nbf": NOW + 1 }), FORBIDDEN),
        (json!({}), FORBIDDEN),
        (json!({ "exp": "tomorrow" }), FORBIDDEN),
        (json!({ "exp": -1 }), FORBIDDEN),
        (json!({ "exp": NOW + 1, "nbf": null }), FORBIDDEN),
        (json!({ "exp": 1e300 }), ConnectVerdict::Allow),
    ] {
        assert_eq!(connect(&mut exact, &token(claims.clone())), verdict, "{claims}");
    }
    let mut lenient = plugin(json!({ "leeway-seconds": 10, "accept-without-end": true }));
    for claims in [json!({ "exp": NOW - 9 }), json!({ "exp": NOW + 1, "nbf": NOW + 10 }), json!({})] {
        assert_eq!(connect(&mut lenient, &token(claims.clone())), ConnectVerdict::Allow, "{claims}");
    }
    assert_eq!(connect(&mut lenient, &token(json!({ "exp": NOW - 10 }))), FORBIDDEN);
}

#[test]
fn issuer_audience_and_other_claims_have_to_be_as_the_settings_say() {
    let mut plugin = plugin(json!({
        "issuer": "https://id.example.com", "audience": "mqtt", "claims": { "sub": "%u", "device": "d-%c" },
    }));
    let good =
        json!({ "iss": "https://id.example.com", "aud": ["web", "mqtt"], "sub": "ada", "device": "d-c1" });
    assert_eq!(connect(&mut plugin, &lasting(good.clone())), ConnectVerdict::Allow);
    for (claim, value) in [
        ("iss", json!("https://evil.example.com")),
        ("iss", json!(null)),
        ("aud", json!("web")),
        ("aud", json!(["web"])),
        ("sub", json!("eve")),
        ("sub", json!(["ada"])),
        ("device", json!("d-c2")),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        assert_eq!(connect(&mut plugin, &lasting(claims)), FORBIDDEN, "{claim} {value}");
        let reason = testing::take_reply().reason_string.unwrap_or_default();
        assert!(reason.contains(claim), "{reason}");
    }
}

#[test]
fn claims_say_what_a_client_may_do_in_either_form() {
    let mut plugin = plugin(json!({ "user-name-claim": "sub" }));
    let lists = json!({ "pub": ["up/%c/#"], "sub": ["down/%c/+"], "all": ["both"] });
    let rules = json!([
        { "permission": "allow", "action": "publish", "topic": "up/%c/#" },
        { "permission": "allow", "action": "subscribe", "topic": "down/%c/+" },
        { "permission": "allow", "topic": "both" },
    ]);
    for acl in [lists, rules] {
        assert_eq!(connect(&mut plugin, &lasting(json!({ "sub": "u", "acl": acl }))), ConnectVerdict::Allow);
        for (action, topic, verdict) in [
            (Action::Publish, "up/c1/x", AuthorizerVerdict::allow()),
            (Action::Publish, "up/c2/x", DENIED),
            (Action::Publish, "down/c1/x", DENIED),
            (Action::Subscribe, "down/c1/+", AuthorizerVerdict::allow()),
            (Action::Subscribe, "down/c1/#", DENIED),
            (Action::Deliver, "both", AuthorizerVerdict::allow()),
        ] {
            assert_eq!(may(&mut plugin, action, topic), verdict, "{action:?} {topic}");
        }
    }
    for bad in
        [json!("#"), json!(["#"]), json!({ "pub": "#" }), json!({ "publish": [] }), json!({ "sub": ["a+"] })]
    {
        let token = lasting(json!({ "sub": "u", "acl": bad }));
        assert_eq!(connect(&mut plugin, &token), FORBIDDEN, "{bad}");
    }
}

#[test]
fn without_the_claim_others_decide_and_nothing_is_left_of_an_earlier_connection() {
    let mut plugin = plugin(json!({}));
    assert_eq!(connect(&mut plugin, &lasting(json!({}))), ConnectVerdict::Allow);
    assert_eq!(may(&mut plugin, Action::Publish, "x"), AuthorizerVerdict::Next);
}

#[test]
fn keys_of_a_set_are_found_by_their_identifiers() {
    let secret = |name: &str| URL_SAFE_NO_PAD.encode(format!("{name:=<32}"));
    let key = |kid: &str| json!({ "kty": "oct", "kid": kid, "k": secret(kid) });
    let set = json!({ "keys": [
        key("one"), key("two"),
        { "kty": "oct", "kid": "three", "k": secret("three"), "use": "enc" },
        { "kty": "oct", "kid": "four", "k": secret("four"), "alg": "HS512" },
        { "kty": "of the future" },
    ] });
    for jwks in [set.clone(), json!(set.to_string())] {
        let mut plugin = start(json!({ "jwks": jwks })).expect("good settings");
        let mut with = |header: Value, name: &str| {
            let signed = format!("{}.{}", part(&header), part(&json!({ "exp": NOW + 60 })));
            let mac = crypto::hmac(
                crypto::Algorithm::Sha256,
                &URL_SAFE_NO_PAD.decode(secret(name)).unwrap(),
                signed.as_bytes(),
            );
            connect(&mut plugin, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac)))
        };
        assert_eq!(with(json!({ "alg": "HS256", "kid": "two" }), "two"), ConnectVerdict::Allow);
        assert_eq!(with(json!({ "alg": "HS256" }), "two"), ConnectVerdict::Allow);
        assert_eq!(with(json!({ "alg": "HS256", "kid": "one" }), "two"), BAD);
        assert_eq!(with(json!({ "alg": "HS256", "kid": "none of them" }), "two"), BAD);
        assert_eq!(with(json!({ "alg": "HS256", "kid": "three" }), "three"), BAD);
        assert_eq!(with(json!({ "alg": "HS256", "kid": "four" }), "four"), BAD);
    }
}

#[test]
fn settings_that_cannot_be_right_are_refused_without_a_key_in_the_message() {
    let short = "too short a secret";
    for (settings, problem) in [
        (json!({}), "no keys; give `public-keys`, `jwks` or `secret`"),
        (json!({ "secret": short }), "secret: should have 32 bytes or more"),
        (
            json!({ "secret": "no base64, though it is long enough", "secret-is-base64": true }),
            "secret: is no base64",
        ),
        (json!({ "public-keys": short }), "public-keys: there is no PEM block in it"),
        (json!({ "public-keys": pem(b"") }), "block 1: is no key of RSA"),
        (
            json!({ "public-keys": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----" }),
            "block 1: is no `PUBLIC KEY`",
        ),
        (json!({ "jwks": short }), "jwks: is no JSON"),
        (json!({ "jwks": { "key": [] } }), "jwks: is no JSON Web Key Set"),
        (json!({ "jwks": { "keys": [] } }), "jwks: there is no key in it that is known here"),
        (
            json!({ "jwks": { "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }] } }),
            "jwks: key 1 is not as it should be",
        ),
        (json!({ "jwks": { "keys": [{ "kty": "RSA", "n": short }] } }), "jwks: key 1 is not as it should be"),
        (json!({ "secret": SECRET, "leeway-seconds": 301 }), "leeway-seconds: should be 300 or less"),
        (json!({ "secret": SECRET, "key": 1 }), "unknown field `key`"),
    ] {
        let error = refused_settings(settings);
        assert!(error.contains(problem), "{problem} is not in {error}");
        assert!(!error.contains(short) && !error.contains(SECRET), "{error}");
    }
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 2);
    // The keys of the first are in a file.
    let mut first = examples[0].clone();
    first["public-keys"] = json!(pem(KEY));
    for settings in [first, examples[1].clone()] {
        start(settings).map(drop).expect("good settings");
    }
}
