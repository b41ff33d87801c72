//! Clients connect, and are there.

use std::sync::Arc;

use super::tally::Tally;
use super::worker::Run;

pub(super) async fn run(run: &Arc<Run>, thread: u32) -> Tally {
    let mut tally = Tally::default();
    let plan = &run.plan;
    let wanted = plan.share(thread, plan.clients).map(|number| (number, plan.options("client", number)));
    let clients = run.connect(wanted, &mut tally).await;
    if !run.go_on(&tally).await {
        return tally;
    }
    tokio::time::sleep(plan.seconds).await;
    for (_, client) in &clients {
        if let Some(end) = client.end() {
            tally.fail(end.to_string());
        }
    }
    for (_, client) in clients {
        let _ = client.disconnect().await;
    }
    tally
}
