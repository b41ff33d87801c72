//! Hooks written in Rust instead of Wasm: who may come in, and what a message becomes.

use std::sync::Arc;

use tidegate::hook::{
    Answer, ConnectContext, ConnectOutcome, ConnectVerdict, HookSet, Hooks, PublishContext, PublishOutcome,
    PublishVerdict,
};
use tidegate::message::ApplicationMessage;
use tidegate::packet::ReasonCode;
use tidegate::server::{ListenerOptions, Server};

struct Rules;

impl Hooks for Rules {
    fn wanted(&self) -> HookSet {
        HookSet::VALIDATING_CONNECTION.with(HookSet::INTERCEPTING_PUBLISH)
    }

    fn validating_connection(&self, context: ConnectContext<'_>) -> Answer<ConnectOutcome> {
        let verdict = match context.connect.password.as_deref() {
            Some(b"open sesame") => ConnectVerdict::Allow,
            _ => ConnectVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    }

    fn intercepting_publish(&self, context: PublishContext<'_>) -> Answer<PublishOutcome> {
        let upper = context.message.payload.to_ascii_uppercase();
        let louder = ApplicationMessage { payload: upper.into(), ..context.message.clone() };
        PublishOutcome { verdict: PublishVerdict::Modify(Box::new(louder)), ..PublishOutcome::default() }
            .into()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1883), |port| port.parse())?;
    let listener = ListenerOptions::loopback(port);
    let server = Server::builder().listener(listener).hooks(Arc::new(Rules)).start().await?;
    println!("listening on {}; the password is `open sesame`", server.addresses()[0]);
    std::future::pending::<()>().await;
    server.shutdown().await;
    Ok(())
}
