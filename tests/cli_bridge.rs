//! Bridges of `tidegate run`.
#![cfg(feature = "daemon")]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use cli_support::{Daemon, Folder};

const LISTENER: &str = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n\
                        default-authorization = \"allow\"\n";

fn bridge(name: &str, port: u16) -> String {
    format!(
        "[[bridge]]\nname = \"{name}\"\nuri = \"mqtt://127.0.0.1:{port}\"\nclient-identifier = \"bridge-{name}\"\n\
         [[bridge.topic]]\nfilter = \"{name}/#\"\ndirection = \"out\"\n"
    )
}

#[test]
fn bridges_come_and_go_while_the_broker_runs() {
    let (folder, there) = (Folder::new("bridge"), Daemon::start(&[]));
    let mut here = Daemon::start(&["--config", &folder.write("t.toml", LISTENER)]);
    for (name, other) in [("one", "two"), ("two", "one")] {
        folder.write("t.toml", &format!("{LISTENER}{}", bridge(name, there.port)));
        here.wait_for(&format!("a bridge is connected bridge=\"{name}\""));
        for topic in [other, name] {
            let publish = ["-t", &format!("{topic}/by-{name}"), "-m", "x", "-q", "1", "-r"];
            assert_eq!(here.client("pub", &publish).code, 0);
        }
        let came = there.client("sub", &["-t", &format!("+/by-{name}"), "-C", "1", "-v", "-W", "10"]);
        assert_eq!(came.out, format!("{name}/by-{name} x\n"), "{}", came.err);
    }
    folder.write("t.toml", &format!("{LISTENER}{}", bridge("two", there.port).replace("mqtt:", "mqtts:")));
    here.wait_for("a bridge is not connected; it tries again bridge=\"two\"");
    assert_eq!(here.terminate(), 0);
}
