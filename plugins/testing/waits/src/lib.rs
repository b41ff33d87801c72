//! Waits, in the ways in which a plugin may: how, the User Name or the first level of the topic says.
//!
//! | wish | |
//! |---|---|
//! | `hash:{hash}` | verifies the password against it |
//! | `hashes` | hashes more passwords than one call may |
//! | `get:{url}` | asks for it, and lets in who gets 200 |
//! | `get-often:{url}` | the same until it may not any more |
//! | `get-shortly:{url}` | the same within 50 ms |
//! | `get-and-loop:{url}` | loops after it |
//! | `loop` | loops at once |
//!
//! What became of it is the Reason String.

use std::hint::black_box;
use std::time::Duration;

use tidegate_plugin::prelude::*;

/// How often this instance was called, and those whose state it was given.
struct Waits {
    calls: u32,
}

impl Lifecycle for Waits {
    type Settings = NoSettings;

    fn init(_: NoSettings) -> Result<(Self, Registration), String> {
        Ok((Waits { calls: 0 }, Registration::new().topics(["get/#", "loop/#", "modified/#"])))
    }

    fn drain(self) -> Option<Handover> {
        let _ = state::atomic_add("drained", self.calls.into());
        Some(Handover { state_version: 1, bytes: self.calls.to_le_bytes().to_vec() })
    }

    fn migrate(&mut self, handover: Handover) -> Result<(), String> {
        let bytes = handover.bytes.try_into().map_err(|_| "not four bytes")?;
        self.calls += u32::from_le_bytes(bytes);
        Ok(())
    }
}

impl ValidatingConnection for Waits {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        self.calls += 1;
        let wish = connect.user_name().unwrap_or_default();
        let password = connect.password().unwrap_or_default();
        let (wish, rest) = wish.split_once(':').unwrap_or((wish, ""));
        let (good, what) = match wish {
            "hash" => verified(password, rest),
            "hashes" => (0..1000).fold(Default::default(), |_, _| verified(password, "$6$x$x")),
            "get" => got(http::Request::get(rest)),
            "get-shortly" => got(http::Request::get(rest).timeout(Duration::from_millis(50))),
            "get-often" => often(rest),
            "get-and-loop" => {
                got(http::Request::get(rest));
                spin()
            }
            "loop" => spin(),
            "calls" => (true, self.calls.to_string()),
            other => (false, format!("no wish: {other}")),
        };
        let verdict = if good { ConnectVerdict::Allow } else { ConnectVerdict::Deny(reason::NOT_AUTHORIZED) };
        verdict.reason_string(&what)
    }
}

impl InterceptingPublish for Waits {
    /// The payload is a URL, in whatever case.
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if publish.topic().starts_with("loop/") {
            spin();
        }
        let url = String::from_utf8_lossy(publish.payload()).to_ascii_lowercase();
        let (_, what) = got(http::Request::get(&url));
        PublishVerdict::Modify(Modification::new().payload(what))
    }
}

fn verified(password: &[u8], hash: &str) -> (bool, String) {
    match passwords::verify(password, hash) {
        Ok(fits) => (fits, format!("fits: {fits}")),
        Err(error) => (false, format!("{error:?}")),
    }
}

fn got(request: http::Request<'_>) -> (bool, String) {
    match request.send() {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.status == 200, format!("{} {body}", answer.status))
        }
        Err(error) => (false, format!("{error:?}")),
    }
}

fn often(url: &str) -> (bool, String) {
    let count = (0..1000).take_while(|_| got(http::Request::get(url)).0).count();
    let (_, last) = got(http::Request::get(url));
    (false, format!("{count} times, then {last}"))
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

/// A filter that is a URL is asked for.
impl Events for Waits {
    fn handle(&mut self, events: &[Event<'_>]) {
        for event in events {
            if let What::ClientSubscribedTopic(subscribed) = event.what {
                got(http::Request::get(subscribed.filter));
            }
        }
    }
}

tidegate_plugin::export!(Waits: lifecycle, validating_connection, intercepting_publish, events);
