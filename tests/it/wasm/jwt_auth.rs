//! JSON Web Tokens, signed by another program, over the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tidegate::client::{ConnectError, End};
use tidegate::packet::{ProtocolVersion, ReasonCode};
use tidegate::plugin::{Grants, PluginOptions};

use super::{Broker, base64, filter, message, module, text};

const SECRET: &str = "a secret of 32 bytes or more: yes";

/// Keys and tokens of PyJWT. `ada` may publish to `up/%c`, and subscribe there and below `down/%u`.
const PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwOOfSSepj3q6WEhn8kxe
jJW8O1r8fJdqpZFUSO6DBikmA5BwzydI67zl+b3ICNqM54xzs1bx2h0wTJnnLj97
k364WWxXWJJ9c9uoqipOCPe1Y4KE5Tguw7CX7hSuZLbE3qVXkUlyAdQ6mSkJw5qH
dfPgrJrSQLbGfTmoCPMjVB9AdasMbrDb4diiXWalPzLO7YEDP33uH+ohkd+NFe5R
8C79XjZDcc4AF1jlDtEilx0JXChb1vOM/bFDZykq9Dtx7EftOYUqi9gRGUHzyhgs
Fr6PkuHTpalHQUgdSS+w4gwWoxWg3slebTxqBa8nXwtExDHJ5LAtqX+Omoi68bhb
JwIDAQAB
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBNwPF21BZ/VvWeMiOOMSmg6A5DY8
0v+759vSUK2qHZJPL4BaRuO8FVQ/E0aBlJsDmWtbUDDZRa+CYQWGlkok4g==
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAW8ffsfU/d20vsKldR9I1eMFUp7+BwfEtOkNJvq7BvwM=
-----END PUBLIC KEY-----
";
const JWKS: &str = r#"{"keys": [{"kty": "RSA", "kid": "r", "n": "wOOfSSepj3q6WEhn8kxejJW8O1r8fJdqpZFUSO6DBikmA5BwzydI67zl-b3ICNqM54xzs1bx2h0wTJnnLj97k364WWxXWJJ9c9uoqipOCPe1Y4KE5Tguw7CX7hSuZLbE3qVXkUlyAdQ6mSkJw5qHdfPgrJrSQLbGfTmoCPMjVB9AdasMbrDb4diiXWalPzLO7YEDP33uH-ohkd-NFe5R8C79XjZDcc4AF1jlDtEilx0JXChb1vOM_bFDZykq9Dtx7EftOYUqi9gRGUHzyhgsFr6PkuHTpalHQUgdSS-w4gwWoxWg3slebTxqBa8nXwtExDHJ5LAtqX-Omoi68bhbJw", "e": "AQAB", "use": "sig"}, {"kty": "EC", "kid": "p", "crv": "P-256", "x": "BNwPF21BZ_VvWeMiOOMSmg6A5DY80v-759vSUK2qHZI", "y": "Ty-AWkbjvBVUPxNGgZSbA5lrW1Aw2UWvgmEFhpZKJOI"}, {"kty": "OKP", "kid": "e", "crv": "Ed25519", "x": "W8ffsfU_d20vsKldR9I1eMFUp7-BwfEtOkNJvq7BvwM"}]}"#;
const TOKENS: [(&str, &str); 4] = [
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.vwr69BtIZ3A2GSbRLjD8fzKgtPbpX9bFV7bUtsrTRuwYMqxrAobPMzAUPoUzT7VjabEny9OViEGrcvwclcvYdC6xJSXYewTXwR8CinhW-PDRRuDy_MTUdaVbhLzwA5ObLxaSt5iw9iIyER-rZGpZ4AT0AtKyhThiLBgMinmRLhBh1K7rD0LhacwRQ5CHLJ-gazz30pD4lEazGUx9g4POLTXALx9UDT-rVNj1AQlU7_3DYWILHDf5WCPgtt_YclEwPlqWN_LYGBwqmPUlujcqotphVXhu8pFcBLz6wPLMuHjBQTqQfFuykU9HMbfI7MLfECb9aJLSximUA6To2XIcoA",
    ),
    (
        "ES256",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.SlcYJBjuVH3AeKKf47hNVoiPKyYy-irbiC1siXjXzKW9CQTqWbWn65Qrrlscs205G_ffczmf_UGPgYGDJK91Ig",
    ),
    (
        "EdDSA",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImUiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.jQTR2PO3oip4KI1fFKPFk9cv_nA9dO2S6gYyfRJ88Fk93_QDR9XH6IWSBTqgO9kcbFDeT4Z8jTq0Z1zUAUgIDg",
    ),
    (
        "HS256",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.1_CGpFs0mh1GI4K4pgUzj6P82Kl-YF_Sn0Fd2hitprw",
    ),
];
const EXPIRED: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE1MDAwMDAwMDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.Lng31PLn6_BVKwEOJrW1n7RQHz1Ia00gc2PfIvt2I24wbN6IjRm_c6gjaLAEqndPJKhda-YaD5mi7nihtRzFZA";
const ANOTHERS: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZS5jb20iLCJhdWQiOiJtcXR0IiwiYWNsIjp7InB1YiI6WyJ1cC8lYyJdLCJzdWIiOlsidXAvJWMiLCJkb3duLyV1LyMiXX19.hZ-HWtXRWtbS5zmO9c1tVYaQujUX28zeg6c5Zz1LD1OqINlGs8PVviJhLfV0WgywUczjLS4wRRjf9zU8De1rQw";

fn jwt_auth(keys: Value) -> PluginOptions {
    let mut settings = json!({ "secret": SECRET, "issuer": "https://id.example.com", "audience": "mqtt", "user-name-claim": "sub" });
    settings.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let grants = Grants { session_items: true, ..Grants::default() };
    PluginOptions { grants, settings, ..PluginOptions::new("jwt-auth", module("jwt-auth")) }
}

async fn refusal(broker: &Broker, version: ProtocolVersion, token: &str) -> ReasonCode {
    match broker.connect_as(version, "c1", "any", token).await {
        Err(ConnectError::Refused(connack)) => connack.reason_code,
        Err(error) => panic!("refused without CONNACK: {error}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_each_algorithm_lets_in_and_says_what_the_client_may_do() {
    for keys in [json!({ "public-keys": PEM }), json!({ "jwks": JWKS })] {
        let broker = Broker::start(&[jwt_auth(keys)]).await;
        for (algorithm, token) in TOKENS {
            for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
                let connected = broker.connect_as(version, "c1", "any", token).await;
                let (client, mut messages) = connected.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
                for own in ["up/c1", "down/ada/#"] {
                    let suback = client.subscribe(filter(own)).await.expect("connected");
                    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1], "{algorithm} {own}");
                }
                for others in ["down/any/#", "up/#"] {
                    let suback = client.subscribe(filter(others)).await.expect("connected");
                    assert!(suback.reason_codes[0].is_error(), "{algorithm} {others}");
                }
                client.publish(message("up/c1", "hello")).await.expect("connected");
                assert_eq!(text(&messages.next().await.expect("connected")), "hello", "{algorithm}");
                client.disconnect().await.expect("connected");
            }
        }
        broker.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_forged_and_foreign_tokens_are_refused_with_the_right_code() {
    let broker = Broker::start(&[jwt_auth(json!({ "public-keys": PEM }))]).await;
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        assert_eq!(refusal(&broker, version, EXPIRED).await, ReasonCode::NOT_AUTHORIZED, "{version}");
        let mut bad = vec![ANOTHERS.to_owned(), "rubbish".to_owned()];
        for (_, token) in TOKENS {
            let signature = token.rfind('.').unwrap() + 10;
            let other = if token.as_bytes()[signature] == b'A' { "B" } else { "A" };
            let mut forged = token.to_owned();
            forged.replace_range(signature..=signature, other);
            bad.push(forged);
        }
        for token in bad {
            assert_eq!(
                refusal(&broker, version, &token).await,
                ReasonCode::BAD_USER_NAME_OR_PASSWORD,
                "{token}"
            );
        }
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_ends_when_the_token_does() {
    let broker = Broker::start(&[jwt_auth(json!({}))]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token =
        token(&json!({ "exp": now + 2, "iss": "https://id.example.com", "aud": "mqtt", "sub": "ada" }));
    let (_client, mut messages) =
        broker.connect_as(ProtocolVersion::V5, "c1", "any", &token).await.expect("the token is good");
    match messages.next().await {
        Err(End::Server(disconnect)) => assert_eq!(disconnect.reason_code, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }
    broker.server.shutdown().await;
}

/// Signed with the secret.
fn token(claims: &Value) -> String {
    let part = |bytes: &[u8]| base64::encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_");
    let signed = format!("{}.{}", part(br#"{"alg":"HS256"}"#), part(claims.to_string().as_bytes()));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", part(&mac.finalize().into_bytes()))
}
