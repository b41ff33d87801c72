//! The plugin as the broker uses it: settings in, verdicts out. The stand-in knows one format, `$plain$`, which
//! is none of a file's: the hashes here fail with it, but where a test wants to see that.

use serde_json::json;
use tidegate_plugin::prelude::*;
use tidegate_plugin::testing;

use crate::PasswordFile;
use crate::users::{Users, UsersSettings};

const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE";
const HASH: &str = "$7$101$c2FsdA==$aGFzaGFzaGFzaGFzaGFzaGFzaA==";

fn start(settings: serde_json::Value) -> Result<PasswordFile, String> {
    testing::reset();
    PasswordFile::init(tidegate_plugin::settings::parse(&settings.to_string())?).map(|(plugin, _)| plugin)
}

fn connect(plugin: &mut PasswordFile, user: Option<&str>, password: &str) -> ConnectVerdict {
    plugin.validate(testing::connect("c", user, Some(password.as_bytes())))
}

const BAD: ConnectVerdict = ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD);

/// With entries that the stand-in can verify.
fn plain(entries: &[(&str, &str)]) -> PasswordFile {
    let mut plugin = start(json!({ "users": { "somebody": HASH } })).expect("good settings");
    plugin.users = Users::of(entries);
    plugin
}

#[test]
fn who_has_the_password_is_let_in_and_nobody_else() {
    let mut plugin = plain(&[("ada", "$plain$secret"), ("bob", "$plain$other")]);
    assert_eq!(connect(&mut plugin, Some("ada"), "secret"), ConnectVerdict::Allow);
    for (user, password) in [("ada", "other"), ("ada", ""), ("bob", "secret"), ("eve", "secret"), ("", "")] {
        assert_eq!(connect(&mut plugin, Some(user), password), BAD, "{user} {password}");
    }
    let without_password = testing::connect("c", Some("ada"), None);
    assert_eq!(plugin.validate(without_password), BAD);
}

#[test]
fn a_client_without_a_user_name_is_for_others_and_so_is_one_without_an_entry_where_that_is_wanted() {
    let mut plugin = plain(&[("ada", "$plain$secret")]);
    assert_eq!(connect(&mut plugin, None, "secret"), ConnectVerdict::Next);
    let mut plugin = start(json!({ "users": { "ada": HASH }, "unknown-users": "next" })).unwrap();
    assert_eq!(connect(&mut plugin, Some("eve"), "x"), ConnectVerdict::Next);
    assert_eq!(connect(&mut plugin, Some("ada"), "x"), BAD);
}

#[test]
fn a_client_that_proves_in_another_way_who_it_is_is_for_others() {
    let mut plugin = plain(&[("ada", "$plain$secret")]);
    testing::with(|host| host.connection.authentication_method = Some("SCRAM-SHA-256".to_owned()));
    assert_eq!(connect(&mut plugin, Some("ada"), ""), ConnectVerdict::Next);
}

#[test]
fn the_text_of_a_file_and_a_table_say_the_same() {
    let text = format!("# made by mosquitto_passwd\n\nada:{HASH}\r\nbob:{BCRYPT}\n");
    let from_text = Users::check(Some(UsersSettings::Text(text))).map_err(drop).unwrap();
    let table = [("ada", HASH), ("bob", BCRYPT)].map(|(name, hash)| (name.to_owned(), hash.to_owned()));
    let from_table = Users::check(Some(UsersSettings::Table(table.into()))).map_err(drop).unwrap();
    for name in ["ada", "bob", "eve"] {
        assert_eq!(from_text.get(name), from_table.get(name), "{name}");
    }
    assert_eq!((from_text.len(), from_text.get("ada")), (2, Some(HASH)));
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_no_hash_with_it() {
    let text = format!("ada:secret\nnonsense\n:{HASH}\nbob:{HASH}\nbob:{HASH}");
    let error = start(json!({ "users": text })).err().expect("bad settings");
    for part in [
        "line 1: the password is not hashed",
        "line 2: should be",
        "line 3: should be",
        "line 5: `bob` is there twice",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(!error.contains("secret") && !error.contains(HASH), "{error}");
    let error = start(json!({ "users": { "ada": "secret" } })).err().expect("bad settings");
    assert!(error.contains("users.ada: the password is not hashed") && !error.contains("secret"), "{error}");
    for nobody in [json!({}), json!({ "users": "# nobody\n" }), json!({ "users": {} })] {
        let error = start(nobody).err().expect("bad settings");
        assert!(error.contains("users: there is none"), "{error}");
    }
    assert!(start(json!({ "user": {} })).err().expect("bad settings").contains("unknown field `user`"));
}

#[test]
fn an_entry_that_cannot_be_verified_lets_nobody_in_and_is_told_in_the_log_without_secrets() {
    let mut plugin = plain(&[("ada", "$costly$secret"), ("bob", "$1$secret")]);
    for (user, said) in [("ada", "asks for more memory or time"), ("bob", "no format that is known")] {
        assert_eq!(connect(&mut plugin, Some(user), "secret"), BAD);
        let lines = testing::with(|host| std::mem::take(&mut host.log));
        assert!(lines.iter().any(|line| line.message.contains(said)), "{lines:?}");
        assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
    }
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    // Those of the first are in a file.
    assert_eq!(examples.len(), 2);
    start(examples[1].clone()).map(drop).expect("good settings");
}

#[test]
fn an_entry_of_which_a_part_is_missing_is_told_before_anybody_needs_it() {
    for hash in [
        "$7$xx",
        "$7$101$aa$bb",
        "$6$x",
        "$argon2id$foo",
        "$argon2id$v=19$m=8,t=1$c2FsdA$aGFzaA",
        "$2b$99$abc",
        "$2b$",
        "$pbkdf2-sha256$x",
        "$pbkdf2-sha512$1000$$aGFzaA",
    ] {
        let why = start(json!({ "users": { "ada": hash } })).err().expect(hash);
        assert!(why.contains("users.ada") && !why.contains(hash), "{why}");
    }
}
