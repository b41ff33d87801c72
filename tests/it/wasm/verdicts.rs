//! What clients see of each verdict of each hook, by QoS, protocol version and origin: one table, run with the plugin
//! `every-hook` over real sockets. The guide (`plugins/README.md`) has the same for people; `documented` checks that
//! neither forgets a hook or a verdict of `wit/`.

mod answers;
mod documented;
mod policies;
mod publishing;

use tidegate::packet::ReasonCode;
use tidegate::plugin::{Grants, Hook, HostOptions, PluginOptions, QuarantineOptions};

use super::{Broker, module};

/// The plugin with this hook alone.
fn only(hook: Hook) -> PluginOptions {
    let mut options = PluginOptions::new("every-hook", module("every-hook"));
    options.hooks = Some(vec![hook]);
    // Verdicts are looked at here, not how long an unoptimized build takes for them.
    options.budgets.decision = std::time::Duration::from_secs(5);
    options.budgets.lifecycle = std::time::Duration::from_secs(5);
    options.grants = Grants { publish: vec!["#".try_into().unwrap()], ..Grants::default() };
    options
}

async fn broker_with(plugins: &[PluginOptions]) -> Broker {
    let quarantine = QuarantineOptions { failures: u32::MAX, ..QuarantineOptions::default() };
    Broker::start_with(HostOptions { watch: false, quarantine, ..HostOptions::default() }, plugins).await
}

const SUCCESS: ReasonCode = ReasonCode::SUCCESS;
const NOT_AUTHORIZED: ReasonCode = ReasonCode::NOT_AUTHORIZED;
const NOBODY: ReasonCode = ReasonCode::NO_MATCHING_SUBSCRIBERS;
