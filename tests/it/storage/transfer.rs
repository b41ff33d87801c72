//! From a storage into a text and back: nothing is lost, and of a wrong text nothing is taken.

use proptest::prelude::*;
use tidegate::message::Timestamp;
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::transfer::{Format, Part, Wrong, clear, examine, export, put, read};
use tidegate::storage::{Change, Storage};

use super::changes::*;
use super::{loaded, random, sorted};

const NOW: Timestamp = Timestamp(1_000_000);
const HEADER: &str = "{\"format\":\"tidegate-store\",\"version\":1}\n";

fn holding(changes: &[Change]) -> MemoryStorage {
    let storage = MemoryStorage::default();
    storage.commit(changes).unwrap();
    storage
}

fn exported(storage: &dyn Storage) -> String {
    let mut text = Vec::new();
    export(storage, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn import(text: &[u8], to: &dyn Storage, part: Part) -> Result<(), Vec<Wrong>> {
    let changes = || read(text, None, NOW).map_err(|wrong| vec![wrong]);
    let survey = examine(changes()?, part, NOW)?;
    put(to, changes()?, &survey).unwrap();
    Ok(())
}

/// What is wrong with a text of these lines between the first and the last.
fn refused(lines: &[&str]) -> Vec<String> {
    let mut text = HEADER.to_owned();
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text.push_str(&format!("{{\"kind\":\"end\",\"lines\":{}}}\n", lines.len()));
    refused_text(&text, Part::All)
}

fn refused_text(text: &str, part: Part) -> Vec<String> {
    let to = MemoryStorage::default();
    let wrong = import(text.as_bytes(), &to, part).unwrap_err();
    assert_eq!(loaded(&to), []);
    wrong.iter().map(ToString::to_string).collect()
}

const SESSION: &str = r#"{"kind":"session","number":1,"client":{"client-identifier":"c","listener":"l","default-authorization":true,"protocol-version":"5.0"},"expiry-interval":5,"is-connected":false}"#;

#[test]
fn everything_survives_with_all_that_it_has() {
    let (from, to) = (holding(&all_puts()), MemoryStorage::default());
    let text = exported(&from);
    assert_eq!(text.lines().count(), all_puts().len() + 2);
    import(text.as_bytes(), &to, Part::All).unwrap();
    assert_eq!(sorted(loaded(&to)), sorted(all_puts()));
}

#[test]
fn a_text_is_the_same_in_every_version() {
    // Lines that a released version has written; they are never changed.
    let text = include_str!("../../storage-exports/1.jsonl");
    let to = MemoryStorage::default();
    import(text.as_bytes(), &to, Part::All).unwrap();
    assert_eq!(sorted(loaded(&to)), sorted(all_puts()));
    let sorted_lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted_lines(&exported(&to)), sorted_lines(text));
}

#[test]
fn more_than_a_batch_and_a_large_message_survive() {
    let mut changes: Vec<_> = (0..2_500).map(|number| retain(message(&format!("r/{number}"), "x"))).collect();
    changes.extend((0..3).map(|number| retain(message(&format!("large/{number}"), vec![7; 5 << 20]))));
    let (from, to) = (holding(&changes), MemoryStorage::default());
    import(exported(&from).as_bytes(), &to, Part::All).unwrap();
    assert!(sorted(loaded(&to)) == sorted(changes));
}

#[test]
fn nothing_is_an_export_too() {
    let (from, to) = (MemoryStorage::default(), MemoryStorage::default());
    let text = exported(&from);
    assert_eq!(text, format!("{HEADER}{{\"kind\":\"end\",\"lines\":0}}\n"));
    import(text.as_bytes(), &to, Part::All).unwrap();
    assert_eq!(loaded(&to), []);
}

#[test]
fn a_text_that_is_cut_anywhere_is_refused() {
    let text = exported(&holding(&all_puts()));
    for len in 0..text.len() - 1 {
        if text.is_char_boundary(len) {
            assert!(!refused_text(&text[..len], Part::All).is_empty(), "{len}");
        }
    }
    let without = |line: usize| {
        let kept =
            text.lines().enumerate().filter(|(at, _)| *at != line).map(|(_, text)| format!("{text}\n"));
        kept.collect::<String>()
    };
    for line in 0..text.lines().count() {
        assert!(!refused_text(&without(line), Part::All).is_empty(), "line {line}");
    }
}

#[test]
fn every_wrong_line_is_told_with_its_number() {
    let wrong = refused(&[SESSION, "{", r#"{"kind":"alive"}"#, r#"{"kind":"alive","at":1}"#, "{]"]);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0] == "line 3: is cut short", "{wrong:?}");
    assert_eq!(wrong[1], "line 4: missing field `at`");
    assert!(wrong[2].starts_with("line 6: column 2: "), "{wrong:?}");
}

#[test]
fn no_more_than_20_wrong_lines_are_told() {
    assert_eq!(refused(&["{}"; 50]).len(), 20);
}

#[test]
fn each_mistake_has_its_sentence() {
    let message = |more: &str| {
        format!(
            r#"{{"kind":"retained","message":{{"topic":"t","payload":"eA==","qos":0,"retain":true,"origin":"client","depth":0{more}}}}}"#
        )
    };
    let delivery = |more: &str| {
        format!(r#"{{"kind":"delivery","number":1,"session":1,"message":1,"qos":1,"retain":false,{more}}}"#)
    };
    let cases = [
        (r#"{"kind":"sesion"}"#.to_owned(), "unknown variant `sesion`"),
        (r#"{"kind":"alive","at":1,"colour":2}"#.to_owned(), "unknown field `colour`"),
        (message("").replace("\"t\"", "\"t/#\""), "topic: "),
        (message("").replace("eA==", "eA"), "is not base64"),
        (message("").replace("\"qos\":0", "\"qos\":3"), "a QoS is 3; write 0, 1 or 2"),
        (message("").replace("\"client\"", "\"cloud\""), "unknown variant `cloud`"),
        (message(r#","properties":{"response-topic":"a/+"}"#), "[MQTT-3.3.2-14]"),
        (message(&format!(r#","properties":{{"content-type":"{}"}}"#, "x".repeat(65_536))), "65"),
        (SESSION.replace("5.0", "3.1"), "unknown variant `3.1`"),
        (
            SESSION.replace("\"number\":1", "\"number\":9223372036854775808"),
            "the largest is 9223372036854775807",
        ),
        (
            r#"{"kind":"item","session":9,"key":"k","value":""}"#.to_owned(),
            "no line before it is that session",
        ),
        (r#"{"kind":"received","session":1,"packet-identifier":0}"#.to_owned(), "a packet identifier is 0"),
        (delivery(r#""state":"sent""#), "missing field `packet-identifier`"),
        (delivery(r#""state":"queued","packet-identifier":1"#), "a queued delivery has no packet-identifier"),
        (
            delivery(r#""state":"queued","subscription-identifiers":[0]"#),
            "a subscription identifier is 0; write 1 to 268435455",
        ),
        (SESSION.to_owned(), "a line before it says the same otherwise"),
    ];
    for (line, told) in cases {
        let wrong = refused(&[SESSION, &line]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("line 3: ") && wrong[0].contains(told), "{told}: {wrong:?}");
    }
}

#[test]
fn a_text_of_something_else_is_refused() {
    let cases = [
        ("", "the text: is empty"),
        (" \n\t", "the text: is empty"),
        ("hello", "the text: is neither what"),
        ("{}\n", "line 1: does not name a format"),
        ("{\"format\":\"x\",\"version\":1}\n", "line 1: names the format `x`"),
        (
            "{\"format\":\"tidegate-store\",\"version\":2,\"more\":1}\n",
            "line 1: was written by a newer tidegate (version 2 of the format; this one knows 1)",
        ),
        ("[1,", "the text: is no list of retained messages of MQTTnet: EOF"),
    ];
    for (text, told) in cases {
        let wrong = refused_text(text, Part::All);
        assert!(wrong.len() == 1 && wrong[0].starts_with(told), "{told}: {wrong:?}");
    }
    let Err(wrong) = read(&b"{}"[..], Some(Format::Mqttnet), NOW) else { panic!("it is no list") };
    assert!(wrong.to_string().contains("is no list"), "{wrong}");
}

#[test]
fn something_behind_the_end_is_refused() {
    let text = exported(&holding(&all_puts()));
    for more in ["\n", "{}\n", &text] {
        let wrong = refused_text(&format!("{text}{more}"), Part::All);
        assert!(wrong.len() == 1 && wrong[0].contains("stands behind the end"), "{wrong:?}");
    }
}

#[test]
fn only_retained_messages_can_be_put_beside_what_is_there() {
    let retained = [retain(message("a", "new")), retain(full_message("b"))];
    let to = holding(&[session(1, client("c")), retain(message("a", "old")), retain(message("z", "kept"))]);
    import(exported(&holding(&retained)).as_bytes(), &to, Part::Retained).unwrap();
    let [new, full] = retained;
    assert_eq!(
        sorted(loaded(&to)),
        sorted([session(1, client("c")), new, full, retain(message("z", "kept"))])
    );
    let wrong = refused_text(&exported(&holding(&all_puts())), Part::Retained);
    assert!(wrong[0].starts_with("line 2: is no retained message"), "{wrong:?}");
}

#[test]
fn what_is_cleared_is_empty() {
    let storage = holding(&all_puts());
    clear(&storage).unwrap();
    assert_eq!(loaded(&storage), [Change::SetAlive(Timestamp(1_800_000_000_000))]);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::super::sqlite::Folder;
    use super::*;

    #[test]
    fn state_moves_between_backends() {
        let (first, second, third) = (Folder::used(), Folder::new(), Folder::new());
        let from = first.open();
        import(exported(&from).as_bytes(), &second.open(), Part::All).unwrap();
        let memory = MemoryStorage::default();
        import(exported(&second.open()).as_bytes(), &memory, Part::All).unwrap();
        import(exported(&memory).as_bytes(), &third.open(), Part::All).unwrap();
        assert_eq!(sorted(loaded(&third.open())), sorted(all_puts()));
    }

    #[test]
    fn what_is_cleared_is_empty() {
        let folder = Folder::used();
        clear(&folder.open()).unwrap();
        assert_eq!(loaded(&folder.open()).len(), 1);
    }

    #[test]
    fn what_was_left_of_a_session_does_not_come_back_with_another_of_its_number() {
        let folder = Folder::new();
        // Nobody is handed this: there is no such session.
        folder.open().commit(&[item(1, "k", "stale"), subscribe(1, "stale")]).unwrap();
        let changes = [session(1, client("c"))];
        import(exported(&holding(&changes)).as_bytes(), &folder.open(), Part::All).unwrap();
        assert_eq!(loaded(&folder.open()), changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_kept_survives(history in random::history()) {
        let (from, to) = (MemoryStorage::default(), MemoryStorage::default());
        history.iter().for_each(|batch| from.commit(batch).unwrap());
        let text = exported(&from);
        prop_assert_eq!(import(text.as_bytes(), &to, Part::All), Ok(()));
        prop_assert_eq!(sorted(loaded(&to)), sorted(loaded(&from)));
    }

    #[test]
    fn a_text_with_a_changed_byte_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = exported(&holding(&all_puts())).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let to = MemoryStorage::default();
        if import(&text, &to, Part::All).is_err() {
            prop_assert_eq!(loaded(&to), []);
        }
    }
}
