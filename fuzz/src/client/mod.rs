//! A client, its user, and a server that sends what it likes over streams in memory.
//!
//! What the client sends has to be what a server can decode and has agreed to; its user gets a QoS 2 message once; and
//! when the server has become honest, all that was asked for comes to an end.

mod book;
mod honest;
mod options;
mod packets;
mod server;
mod stream;
mod user;

use std::time::Duration;

use tidegate::client::Client;
use tokio::time::sleep;

use super::choices::Choices;
use server::Server;
use user::User;

/// Steps of a history.
const MOST_STEPS: usize = 200;

pub fn run(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs nothing").block_on(play(Choices::of(input)));
}

async fn play(mut choices: Choices<'_>) {
    let (options, streams) = options::options(&mut choices);
    let mut server = Server::new(streams, &options);
    let Ok(client) = Client::new(options) else { return };
    let mut user = User::new(client, server.book.clone());
    for _ in 0..MOST_STEPS {
        if choices.is_empty() {
            break;
        }
        match choices.below(16) {
            step @ 0..10 => server.step(step, &mut choices).await,
            step => user.step(step, &mut choices),
        }
    }
    let keeps_session = choices.flag();
    server.cut();
    // The client sees that it has gone, and with it what was agreed on.
    sleep(Duration::from_millis(1)).await;
    let honest = tokio::spawn(server.serve_honestly(keeps_session));
    user.finish().await;
    honest.await.expect("the client sent what it must not");
}
