//! The plugin as the broker uses it: settings in, messages in, verdicts out. The client's side is here too.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_plugin::crypto::{Algorithm, digest, hmac};
use tidegate_plugin::prelude::*;
use tidegate_plugin::testing;

use crate::message::Malformed;
use crate::{ScramAuth, exchange, message};

/// The example of RFC 7677: `user` has the password `pencil`.
const ENTRY: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

const REFUSED: AuthenticationVerdict = AuthenticationVerdict::Deny(reason::NOT_AUTHORIZED);
const NONSENSE: AuthenticationVerdict = AuthenticationVerdict::Deny(reason::IMPLEMENTATION_SPECIFIC_ERROR);

fn start(settings: serde_json::Value) -> Result<ScramAuth, String> {
    testing::reset();
    let settings = tidegate_plugin::settings::parse(&settings.to_string())?;
    ScramAuth::init(settings).map(|(plugin, _)| plugin)
}

fn plugin() -> ScramAuth {
    start(serde_json::json!({ "users": { "user": ENTRY } })).expect("good settings")
}

fn first(plugin: &mut ScramAuth, client_first: &str) -> AuthenticationVerdict {
    plugin.authenticate(testing::authentication("SCRAM-SHA-256", client_first.as_bytes()))
}

fn challenged(verdict: AuthenticationVerdict) -> (String, Vec<u8>) {
    match verdict {
        AuthenticationVerdict::Challenge(challenge) => {
            (String::from_utf8(challenge.data.expect("data")).expect("text"), challenge.state)
        }
        other => panic!("{other:?} in place of a challenge"),
    }
}

fn last(plugin: &mut ScramAuth, state: &[u8], client_final: &str) -> AuthenticationVerdict {
    plugin.authenticate(testing::authentication("SCRAM-SHA-256", client_final.as_bytes()).answering(state))
}

/// The client's side: its last message, and the server's last if the server knows the password.
fn prove(password: &str, header: &str, bare: &str, server_first: &str) -> (String, String) {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).expect("a part");
    let salt = STANDARD.decode(part("s=")).expect("base64");
    let salted = pbkdf2(password.as_bytes(), &salt, part("i=").parse().expect("a number"));
    let client_key = sign(&salted, b"Client Key");
    let without_proof = format!("c={},r={}", STANDARD.encode(header), part("r="));
    let message = format!("{bare},{server_first},{without_proof}");
    let signature = sign(&digest(Algorithm::Sha256, &client_key), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signed)| key ^ signed).collect();
    let server_signature = sign(&sign(&salted, b"Server Key"), message.as_bytes());
    (
        format!("{without_proof},p={}", STANDARD.encode(proof)),
        format!("v={}", STANDARD.encode(server_signature)),
    )
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac(Algorithm::Sha256, key, message)
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut block = sign(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = sign(password, &block);
        sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// A whole exchange; what the server has to prove comes with the verdict.
fn exchange(plugin: &mut ScramAuth, name: &str, password: &str) -> (AuthenticationVerdict, String) {
    let bare = format!("n={name},r=abc");
    let (server_first, state) = challenged(first(plugin, &format!("n,,{bare}")));
    let (client_final, server_final) = prove(password, "n,,", &bare, &server_first);
    (last(plugin, &state, &client_final), server_final)
}

#[test]
fn the_example_of_rfc_7677_is_let_in() {
    let mut plugin = plugin();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let server_first = message::server_first(nonce, &salt, 4096);
    assert_eq!(server_first, format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    let state = format!("n,,n=user,r=rOprNGfwEbeRWgbNEkqO\0{server_first}");
    let client_final = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let verdict = last(&mut plugin, state.as_bytes(), &client_final);
    let server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final));
    assert_eq!(testing::with(|host| host.connection.assigned_user_name.clone()).as_deref(), Some("user"));
}

#[test]
fn who_knows_the_password_is_let_in_and_the_server_proves_that_it_does_too() {
    let mut plugin = plugin();
    for _ in 0..2 {
        let (verdict, server_final) = exchange(&mut plugin, "user", "pencil");
        assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final));
    }
    assert_eq!(testing::with(|host| host.connection.expires_at), None);
}

#[test]
fn every_challenge_has_a_nonce_of_its_own_that_begins_with_the_clients() {
    let mut plugin = plugin();
    let nonces: BTreeSet<String> = (0..100)
        .map(|_| challenged(first(&mut plugin, "n,,n=user,r=mine")).0)
        .map(|server_first| server_first.split(',').next().unwrap().to_owned())
        .collect();
    assert_eq!(nonces.len(), 100);
    assert!(nonces.iter().all(|nonce| nonce.starts_with("r=mine") && nonce.len() == "r=mine".len() + 24));
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_told_the_same() {
    let mut plugin = plugin();
    let mut told = Vec::new();
    for (name, password) in [("user", "pencils"), ("nobody", "pencil"), ("nöbody", "pencil")] {
        assert_eq!(exchange(&mut plugin, name, password).0, REFUSED, "{name}");
        told.push(testing::take_reply());
    }
    assert_eq!(told[0].reason_string.as_deref(), Some("wrong user name or password"));
    assert!(told.iter().all(|reply| *reply == told[0]));
}

#[test]
fn an_unknown_name_is_challenged_like_a_known_one_and_always_with_the_same_salt() {
    let salt_and_count = |plugin: &mut ScramAuth, name: &str| {
        let (server_first, _) = challenged(first(plugin, &format!("n,,n={name},r=abc")));
        let (_, rest) = server_first.split_once(",s=").unwrap();
        let (salt, count) = rest.split_once(",i=").unwrap();
        (STANDARD.decode(salt).unwrap(), count.to_owned())
    };
    let known = salt_and_count(&mut plugin(), "user");
    let names: Vec<String> = (0..50).map(|number| format!("nobody-{number}")).collect();
    let mut salts = BTreeSet::new();
    for name in &names {
        let (salt, count) = salt_and_count(&mut plugin(), name);
        assert_eq!((salt.len(), &count), (known.0.len(), &known.1));
        assert_eq!(salt_and_count(&mut plugin(), name).0, salt, "by any instance, at any time");
        salts.insert(salt);
    }
    assert_eq!(salts.len(), names.len());
}

#[test]
fn invented_entries_are_as_different_as_real_ones_and_last_as_long_as_the_secret() {
    let long_salt = STANDARD.encode([7; 64]);
    let other = ENTRY.replace("$4096:W22ZaJ0SNY7soEsUEjb6gQ==", &format!("$9000:{long_salt}"));
    let with = |users: serde_json::Value| {
        start(serde_json::json!({ "users": users, "secret": "sixteen letters!" })).expect("good settings")
    };
    let challenge = |plugin: &mut ScramAuth, name: &str| {
        let (server_first, _) = challenged(first(plugin, &format!("n,,n={name},r=abc")));
        server_first.split_once(",s=").unwrap().1.to_owned()
    };
    let mut two = with(serde_json::json!({ "user": ENTRY, "other": other }));
    let (mut like_user, mut like_other) = (0, 0);
    for number in 0..40 {
        let challenge = challenge(&mut two, &format!("nobody-{number}"));
        match challenge.split_once(",i=").unwrap() {
            (salt, "4096") if salt.len() == 24 => like_user += 1,
            (salt, "9000") if salt.len() == long_salt.len() => like_other += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(like_user > 5 && like_other > 5, "{like_user} {like_other}");
    let mut one = with(serde_json::json!({ "user": ENTRY }));
    let mut renewed = with(serde_json::json!({ "user": ENTRY.replace("wfPL", "wfPM") }));
    assert_eq!(challenge(&mut one, "nobody"), challenge(&mut renewed, "nobody"));
}

#[test]
fn channel_binding_is_not_asked_for_and_refused_clearly_where_the_client_does() {
    let mut plugin = plugin();
    for header in ["n,,", "y,,", "n,a=user,", "y,a=user,"] {
        let bare = "n=user,r=abc";
        let (server_first, state) = challenged(first(&mut plugin, &format!("{header}{bare}")));
        let (client_final, server_final) = prove("pencil", header, bare, &server_first);
        let verdict = last(&mut plugin, &state, &client_final);
        assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final), "{header}");
    }
    assert_eq!(first(&mut plugin, "p=tls-exporter,,n=user,r=abc"), NONSENSE);
    let reply = testing::take_reply();
    assert_eq!(reply.reason_string.as_deref(), Some("channel binding is not supported; begin with `n,,`"));
}

#[test]
fn the_header_of_the_last_message_must_be_that_of_the_first() {
    let mut plugin = plugin();
    let bare = "n=user,r=abc";
    for (header, later) in [("n,,", "y,,"), ("y,,", "n,,"), ("n,a=user,", "n,,"), ("n,,", "p=tls-exporter,,")]
    {
        let (server_first, state) = challenged(first(&mut plugin, &format!("{header}{bare}")));
        let (client_final, _) = prove("pencil", later, bare, &server_first);
        assert_eq!(last(&mut plugin, &state, &client_final), NONSENSE, "{header} {later}");
    }
}

#[test]
fn a_client_acts_as_itself_only() {
    let mut plugin = plugin();
    assert_eq!(first(&mut plugin, "n,a=admin,n=user,r=abc"), REFUSED);
    assert_eq!(first(&mut plugin, "n,a=use,n=user,r=abc"), REFUSED);
}

#[test]
fn malformed_first_messages_are_refused() {
    let mut plugin = plugin();
    let long = format!("n,,n={},r=abc", "x".repeat(1024));
    for (message, expected) in [
        ("", Malformed::Header),
        ("n", Malformed::Header),
        ("n,", Malformed::Header),
        ("x,,n=user,r=abc", Malformed::Header),
        ("nn,,n=user,r=abc", Malformed::Header),
        ("N,,n=user,r=abc", Malformed::Header),
        ("n,user,n=user,r=abc", Malformed::Header),
        ("n=user,r=abc", Malformed::Header),
        ("n,,", Malformed::Name),
        ("n,,n=user", Malformed::Name),
        ("n,,r=abc,n=user", Malformed::Name),
        ("n,,n=,r=abc", Malformed::Name),
        ("n,,n=us=er,r=abc", Malformed::Name),
        ("n,,n=user=,r=abc", Malformed::Name),
        ("n,,n=user=2c,r=abc", Malformed::Name),
        ("n,,n=user=2ö,r=abc", Malformed::Name),
        ("n,a=,n=user,r=abc", Malformed::Name),
        ("n,,n=user,", Malformed::Nonce),
        ("n,,n=user,r=", Malformed::Nonce),
        ("n,,n=user,r=a c", Malformed::Nonce),
        ("n,,n=user,r=äc", Malformed::Nonce),
        ("n,,n=user,x=1,r=abc", Malformed::Nonce),
        ("n,,m=new,n=user,r=abc", Malformed::Extension),
        ("n,,n=us\0er,r=abc", Malformed::NotText),
        (&long, Malformed::TooLong),
    ] {
        assert_eq!(first(&mut plugin, message), NONSENSE, "{message}");
        assert_eq!(testing::take_reply().reason_string, Some(expected.to_string()), "{message}");
    }
    let broken = testing::authentication("SCRAM-SHA-256", b"n,,n=\xff,r=abc");
    assert_eq!(plugin.authenticate(broken), NONSENSE);
}

#[test]
fn malformed_last_messages_are_refused() {
    let mut plugin = plugin();
    let bare = "n=user,r=abc";
    let (server_first, state) = challenged(first(&mut plugin, &format!("n,,{bare}")));
    let (good, _) = prove("pencil", "n,,", bare, &server_first);
    let (without_proof, proof) = good.rsplit_once(",p=").unwrap();
    let short_proof = STANDARD.encode([0; 31]);
    for (message, expected) in [
        (String::new(), Malformed::Proof),
        (without_proof.to_owned(), Malformed::Proof),
        (format!("{without_proof},p="), Malformed::Proof),
        (format!("{without_proof},p={short_proof}"), Malformed::Proof),
        (format!("{good},x=1"), Malformed::Proof),
        (format!("{without_proof},p=*{proof}"), Malformed::Proof),
        (good.replace("c=biws,", ""), Malformed::OtherHeader),
        (good.replace("c=biws", "c=*"), Malformed::OtherHeader),
        (good.replace("c=biws", "c="), Malformed::OtherHeader),
        (format!("m=new,{good}"), Malformed::Extension),
        (good.replace(",r=", ",x="), Malformed::Nonce),
        (good.replace(",r=abc", ",r=abd"), Malformed::OtherNonce),
        (format!("c=biws,r=abc,p={proof}"), Malformed::OtherNonce),
        (format!("c=biws,r=,p={proof}"), Malformed::OtherNonce),
        (good.clone() + &"=".repeat(1024), Malformed::TooLong),
    ] {
        assert_eq!(last(&mut plugin, &state, &message), NONSENSE, "{message}");
        assert_eq!(testing::take_reply().reason_string, Some(expected.to_string()), "{message}");
    }
    // Not malformed, but not what was proved: the proof covers extensions too.
    assert_eq!(last(&mut plugin, &state, &format!("{without_proof},x=1,p={proof}")), REFUSED);
    assert!(matches!(last(&mut plugin, &state, &good), AuthenticationVerdict::Allow(_)));
}

#[test]
fn extensions_that_may_be_passed_over_are_and_the_proof_covers_them() {
    let mut plugin = plugin();
    let bare = "n=user,r=abc,x=something,y=";
    let (server_first, state) = challenged(first(&mut plugin, &format!("n,,{bare}")));
    assert!(server_first.starts_with("r=abc"));
    let (client_final, server_final) = prove("pencil", "n,,", bare, &server_first);
    let verdict = last(&mut plugin, &state, &client_final);
    assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final));
}

#[test]
fn commas_and_equals_signs_of_names_are_escaped() {
    let users = serde_json::json!({ "users": { "a,b=c": ENTRY, "=2C": ENTRY } });
    let mut plugin = start(users).unwrap();
    for (escaped, name) in [("a=2Cb=3Dc", "a,b=c"), ("=3D2C", "=2C")] {
        assert!(matches!(exchange(&mut plugin, escaped, "pencil").0, AuthenticationVerdict::Allow(_)));
        let assigned = testing::with(|host| host.connection.assigned_user_name.take());
        assert_eq!(assigned.as_deref(), Some(name));
    }
}

#[test]
fn a_user_name_in_connect_may_be_left_out_but_not_be_anothers() {
    for (user_name, good) in
        [(None, true), (Some("user"), true), (Some("admin"), false), (Some("User"), false), (Some(""), false)]
    {
        let mut plugin = plugin();
        testing::connect("client", user_name, None);
        let (verdict, _) = exchange(&mut plugin, "user", "pencil");
        assert_eq!(matches!(verdict, AuthenticationVerdict::Allow(_)), good, "{user_name:?}");
        if !good {
            assert_eq!(verdict, REFUSED);
            assert_eq!(testing::with(|host| host.connection.assigned_user_name.clone()), None);
        }
    }
}

#[test]
fn who_authenticates_itself_again_must_be_the_same() {
    let users = serde_json::json!({ "user": ENTRY, "other": ENTRY });
    let settings = serde_json::json!({ "users": users, "expires-after-seconds": 60 });
    for (who, good) in [(Some("user"), true), (Some("other"), false), (None, false)] {
        let mut plugin = start(settings.clone()).unwrap();
        testing::set_now_ms(5_000);
        testing::connect("client", who, None);
        let begin = testing::authentication("SCRAM-SHA-256", b"n,,n=user,r=abc").again();
        let (server_first, state) = challenged(plugin.authenticate(begin));
        let (client_final, _) = prove("pencil", "n,,", "n=user,r=abc", &server_first);
        let answer = testing::authentication("SCRAM-SHA-256", client_final.as_bytes());
        let verdict = plugin.authenticate(answer.answering(&state).again());
        assert_eq!(matches!(verdict, AuthenticationVerdict::Allow(_)), good, "{who:?}");
        let expires_at = testing::with(|host| host.connection.expires_at);
        assert_eq!(expires_at, good.then_some(65_000), "{who:?}");
    }
}

#[test]
fn a_password_that_is_changed_between_two_messages_is_the_new_one() {
    let mut before = plugin();
    let (server_first, state) = challenged(first(&mut before, "n,,n=user,r=abc"));
    let (client_final, _) = prove("pencil", "n,,", "n=user,r=abc", &server_first);
    let other_key = STANDARD.encode([1; 32]);
    let changed = ENTRY.replace("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", &other_key);
    let mut changed = start(serde_json::json!({ "users": { "user": changed } })).unwrap();
    assert_eq!(last(&mut changed, &state, &client_final), REFUSED);
    let mut gone = start(serde_json::json!({ "users": { "another": ENTRY } })).unwrap();
    assert_eq!(last(&mut gone, &state, &client_final), REFUSED);
    assert!(matches!(last(&mut plugin(), &state, &client_final), AuthenticationVerdict::Allow(_)));
}

#[test]
fn a_client_may_leave_the_first_word_to_the_server() {
    let mut plugin = plugin();
    let silent = testing::authentication("SCRAM-SHA-256", b"").without_data();
    let (nothing, state) = challenged(plugin.authenticate(silent));
    assert_eq!((nothing.as_str(), state.as_slice()), ("", &[][..]));
    let (server_first, state) = challenged(last(&mut plugin, &state, "n,,n=user,r=abc"));
    let (client_final, server_final) = prove("pencil", "n,,", "n=user,r=abc", &server_first);
    let verdict = last(&mut plugin, &state, &client_final);
    assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final));
    let still_silent = testing::authentication("SCRAM-SHA-256", b"").without_data().answering(b"");
    assert_eq!(plugin.authenticate(still_silent), NONSENSE);
}

#[test]
fn other_methods_and_clients_without_one_are_left_to_others() {
    let mut plugin = plugin();
    for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN", ""] {
        let verdict = plugin.authenticate(testing::authentication(method, b"n,,n=user,r=abc"));
        assert_eq!(verdict, AuthenticationVerdict::Next, "{method}");
    }
    let verdict = plugin.validate(testing::connect("client", Some("user"), Some(b"pencil")));
    assert_eq!(verdict, ConnectVerdict::Next);
}

#[test]
fn what_is_left_with_the_broker_is_within_its_limit() {
    let mut plugin = plugin();
    let longest = format!("n,,n=user,r={}", "x".repeat(1024 - "n,,n=user,r=".len()));
    let (server_first, state) = challenged(first(&mut plugin, &longest));
    assert!(state.len() <= 4096 && server_first.len() <= 2048, "{} {}", state.len(), server_first.len());
}

#[test]
fn the_log_tells_why_and_no_secret() {
    let mut plugin = plugin();
    exchange(&mut plugin, "user", "pencils");
    testing::with(|host| {
        let line = host.log.last().expect("a line");
        assert_eq!(
            (line.message.as_str(), line.field("reason")),
            ("refused", Some("wrong user name or password"))
        );
        let log = format!("{:?}", host.log);
        assert!(!log.contains("W22Z") && !log.contains("WG5d") && !log.contains("wfPL"), "{log}");
    });
}

#[test]
fn what_is_wrong_with_settings_is_told_together_and_without_keys() {
    let refused = |settings: serde_json::Value| start(settings).err().expect("bad settings");
    let problems = refused(serde_json::json!({
        "expires-after-seconds": 0,
        "secret": "short",
        "users": {
            "": ENTRY,
            "näme": ENTRY,
            "few": ENTRY.replace("4096", "4095"),
            "many": ENTRY.replace("4096", "4294967296"),
            "salt": ENTRY.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "!"),
            "salt-short": ENTRY.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0="),
            "stored": ENTRY.replace("WG5d", "WG5d!"),
            "server": ENTRY.replace("wfPLwcE6", ""),
            "sha-1": ENTRY.replace("SHA-256", "SHA-1"),
            "password": "pencil",
        },
    }));
    for expected in [
        "settings: expires-after-seconds: should be 1 or more",
        "secret: should have 16 characters or more",
        "users.: a name is printable ASCII",
        "users.näme: a name is printable ASCII",
        "users.few: should have 4096 iterations or more",
        "users.many: its iterations are no number",
        "users.salt: its salt is not base64",
        "users.salt-short: its salt should have 8 to 64 bytes",
        "users.stored: its StoredKey is not base64",
        "users.server: its ServerKey should have 32 bytes",
        "users.sha-1: should be `SCRAM-SHA-256$",
        "users.password: should be `SCRAM-SHA-256$",
    ] {
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
    assert!(!problems.contains("pencil") && !problems.contains("WG5d") && !problems.contains("wfPL"));
    assert!(refused(serde_json::json!({})).contains("users: name at least one"));
    assert!(refused(serde_json::json!({ "users": { "user": ENTRY }, "user": 1 })).contains("user"));
}

const README: &str = include_str!("../README.md");

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(README);
    assert_eq!(examples.len(), 1);
    for settings in examples {
        let mut plugin = start(settings).expect("good settings");
        let (verdict, _) = exchange(&mut plugin, "sensor", "pencil");
        assert!(matches!(verdict, AuthenticationVerdict::Allow(_)), "{verdict:?}");
    }
}

#[test]
fn the_script_of_the_readme_makes_entries() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let script =
        README.split("python3 -c '").nth(1).and_then(|rest| rest.split("'\n").next()).expect("a script");
    // There is no terminal to ask at.
    let script = script.replace("getpass.getpass()", "input()");
    let python =
        Command::new("python3").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        return println!("PASSED OVER: python3 is not installed");
    };
    python.stdin.take().unwrap().write_all(b"my own password\n").unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let entry = String::from_utf8(output.stdout).unwrap();
    let mut plugin = start(serde_json::json!({ "users": { "me": entry.trim() } })).expect("a good entry");
    let (verdict, server_final) = exchange(&mut plugin, "me", "my own password");
    assert_eq!(verdict, AuthenticationVerdict::allow_with(server_final));
}

#[test]
fn a_state_that_is_none_of_ours_is_refused() {
    let users = crate::settings::Users::check(
        serde_json::from_value(serde_json::json!({ "users": { "user": ENTRY } })).unwrap(),
    )
    .expect("good settings");
    for state in [&b"x"[..], b"\xff\0", b"n,,n=user,r=abc"] {
        assert!(exchange::judge(&users, state, b"c=biws,r=abc,p=").is_err());
    }
}
