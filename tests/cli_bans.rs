//! `tidegate bans` against a broker that runs.
#![cfg(feature = "daemon")]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use cli_support::{Daemon, Folder, RawClient, run};
use tidegate::packet::ReasonCode;

const CONFIG: &str = "[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\n\
                      [admin]\nlisten = \"unix:SOCKET\"\n[guard]\nexempt = []\nfailed-logins = 2\n";

#[test]
fn who_is_shut_out_is_listed_and_let_in_again() {
    let folder = Folder::new("bans");
    let socket = folder.path("admin.sock");
    let config = folder.write("t.toml", &CONFIG.replace("SOCKET", &socket));
    let daemon = Daemon::start(&["--config", &config]);
    // Nobody is let in where nobody says who may.
    for _ in 0..2 {
        assert_eq!(RawClient::refused(daemon.port, "ada"), ReasonCode::NOT_AUTHORIZED);
    }
    assert_eq!(RawClient::refused(daemon.port, "ada"), ReasonCode::BANNED);

    let list = run(&["bans", "list", "--config", &config]);
    assert_eq!(list.code, 0, "{}", list.err);
    assert!(list.out.starts_with("127.0.0.1 \"ada\": failed-logins ("), "{}", list.out);
    let admin = format!("unix:{socket}");
    let json = run(&["bans", "list", "--admin", &admin, "--json"]);
    assert!(json.out.contains("\"address\":\"127.0.0.1\""), "{}", json.out);

    let nobody = run(&["bans", "lift", "eve", "--admin", &admin]);
    assert_eq!((nobody.code, nobody.err.as_str()), (64, "tidegate: nobody is shut out as \"eve\"\n"));
    let lifted = run(&["bans", "lift", "ada", "--admin", &admin]);
    assert_eq!((lifted.code, lifted.out.as_str()), (0, "1 ban lifted\n"), "{}", lifted.err);
    assert_eq!(run(&["bans", "list", "--admin", &admin]).out, "nobody is shut out\n");
    assert_eq!(RawClient::refused(daemon.port, "ada"), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn without_a_broker_to_ask_it_says_so() {
    let folder = Folder::new("bans-nobody");
    let config = folder.write("t.toml", "");
    let unnamed = run(&["bans", "list", "--config", &config]);
    assert_eq!(unnamed.code, 64);
    assert!(unnamed.err.contains("--admin"), "{}", unnamed.err);
    let gone = run(&["bans", "lift", "x", "--admin", &format!("unix:{}", folder.path("none.sock"))]);
    assert_eq!(gone.code, 69, "{}", gone.err);
}
