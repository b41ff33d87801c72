//! Enhanced authentication by a method of the tests' own, `M`, whose data say in words what is to happen.

use bytes::Bytes;
use tidegate::hook::{
    AuthenticateContext, AuthenticateOutcome, AuthenticateVerdict, Challenge, ConnectOutcome, ConnectVerdict,
    Exchange, Reply,
};
use tidegate::packet::{Auth, Connack, Connect, Packet, ReasonCode};

use super::{Client, Script, V5, connect};

pub const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
pub const AGAIN: ReasonCode = ReasonCode::RE_AUTHENTICATE;

/// Lets in clients without a method, and those with method `M` as [`step`] says.
pub fn script() -> Script {
    let allow = ConnectOutcome { verdict: ConnectVerdict::Allow, ..ConnectOutcome::default() };
    Script::default()
        .on_connect(move |_| allow.clone().into())
        .on_authenticate(|context| outcome(step(&context)).into())
}

/// `ok` and `ok-bare` succeed, `no` fails, `more` is challenged with the number of its answer, anything else
/// with nothing.
pub fn step(context: &AuthenticateContext<'_>) -> AuthenticateVerdict {
    if context.method != "M" {
        return AuthenticateVerdict::Next;
    }
    let count = context.exchange.map_or(0, |exchange| exchange.state.first().copied().unwrap_or(0)) + 1;
    let exchange = Exchange { owner: Some("tests".into()), state: vec![count].into() };
    match context.data.map(Bytes::as_ref) {
        Some(b"ok") => AuthenticateVerdict::Allow(Some(Bytes::from_static(b"welcome"))),
        Some(b"ok-bare") => AuthenticateVerdict::Allow(None),
        Some(b"no") => AuthenticateVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
        Some(b"bad") => AuthenticateVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        Some(b"more") => challenge(Some(Bytes::from(count.to_string())), exchange),
        _ => challenge(None, exchange),
    }
}

fn challenge(data: Option<Bytes>, exchange: Exchange) -> AuthenticateVerdict {
    AuthenticateVerdict::Challenge(Challenge { data, exchange })
}

pub fn outcome(verdict: AuthenticateVerdict) -> AuthenticateOutcome {
    AuthenticateOutcome { verdict, ..AuthenticateOutcome::default() }
}

/// The same with something to read for the client.
pub fn talkative(verdict: AuthenticateVerdict) -> AuthenticateOutcome {
    let reply = Reply {
        reason_string: Some("because".into()),
        user_properties: vec![("k".into(), "x".repeat(20).into())],
        ..Reply::default()
    };
    AuthenticateOutcome { reply: Some(Box::new(reply)), ..outcome(verdict) }
}

/// CONNECT with method `M`.
pub fn asks(client_identifier: &str, data: &str) -> Connect {
    asks_for("M", client_identifier, data)
}

pub fn asks_for(method: &str, client_identifier: &str, data: &str) -> Connect {
    Connect {
        authentication_method: Some(method.to_string().into()),
        authentication_data: Some(data.to_string().into()),
        ..connect(V5, client_identifier)
    }
}

pub fn auth(reason_code: ReasonCode, data: &str) -> Auth {
    Auth {
        reason_code,
        authentication_method: Some("M".into()),
        authentication_data: Some(data.to_string().into()),
        ..Auth::default()
    }
}

impl Client {
    pub async fn send_auth(&mut self, reason_code: ReasonCode, data: &str) {
        self.send(Packet::Auth(Box::new(auth(reason_code, data)))).await;
    }

    /// The next packet, which must be AUTH with this Reason Code and the method of CONNECT.
    pub async fn auth(&mut self, reason_code: ReasonCode) -> Auth {
        match self.receive().await {
            Packet::Auth(auth) => {
                assert_eq!(auth.reason_code, reason_code);
                assert_eq!(auth.authentication_method.as_deref(), Some("M"), "[MQTT-4.12.0-5]");
                *auth
            }
            other => panic!("{other:?} in place of AUTH"),
        }
    }

    pub async fn challenge(&mut self) -> Auth {
        self.auth(CONTINUE).await
    }

    pub async fn connack(&mut self) -> Connack {
        match self.receive().await {
            Packet::Connack(connack) => *connack,
            other => panic!("{other:?} in place of CONNACK"),
        }
    }

    /// A refusal: CONNACK, and nothing more, [MQTT-4.12.0-4] and [MQTT-3.14.0-1].
    pub async fn refusal(&mut self) -> Connack {
        let connack = self.connack().await;
        assert!(connack.reason_code.is_error(), "{connack:?}");
        assert_eq!(self.receive_or_end().await, None);
        connack
    }

    /// Re-authenticates without being challenged.
    pub async fn authenticate_again(&mut self) {
        self.send_auth(AGAIN, "ok").await;
        self.auth(ReasonCode::SUCCESS).await;
    }
}
