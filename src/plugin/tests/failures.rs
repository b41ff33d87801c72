//! Plugins that do what they must not, and what speaks in their place.

use super::*;

fn hostile() -> PluginOptions {
    options("hostile")
}

/// A budget above the default, as tests run unoptimized and beside each other.
fn patient() -> HostOptions {
    HostOptions {
        quarantine: QuarantineOptions { failures: 1000, ..QuarantineOptions::default() },
        ..host_options()
    }
}

fn is_rejected(outcome: &PublishOutcome) -> bool {
    matches!(outcome.verdict, PublishVerdict::Reject(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR))
}

#[test]
fn a_loop_is_stopped_within_twice_its_deadline() {
    // Without probation, calls stay on this thread.
    let quarantine = QuarantineOptions { probation: Duration::ZERO, ..patient().quarantine };
    let host = Host::start_with(HostOptions { quarantine, ..host_options() }, &[hostile()]);
    let mut spent: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let (begun, wall) = (cpu_time(), Instant::now());
        assert!(is_rejected(&host.publish("loop")));
        assert!(wall.elapsed() >= Duration::from_millis(10), "stopped too early: {:?}", wall.elapsed());
        // While other tests run, the clock on the wall says little about the call.
        spent.push(cpu_time().zip(begun).map_or(wall.elapsed(), |(now, begun)| now - begun));
    }
    spent.sort();
    assert!(spent[spent.len() / 2] < Duration::from_millis(20), "stopped too late: {spent:?}");
    let status = host.status();
    assert_eq!((status.overruns, status.failures), (20, vec![(Hook::InterceptingPublish, 20)]));
}

/// Of this thread; none where the system does not tell.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[test]
fn memory_recursion_and_traps_are_contained() {
    // Filling 64 MiB takes longer than a decision may in an unoptimized build.
    let mut plugin = hostile();
    plugin.budgets.decision = Duration::from_secs(5);
    let host = Host::start_with(patient(), &[plugin]);
    for wish in ["allocate", "recurse", "trap"] {
        assert!(is_rejected(&host.publish(wish)), "{wish}");
        assert!(matches!(host.publish("ok").verdict, PublishVerdict::Continue), "after {wish}");
    }
    let status = host.status();
    assert_eq!((status.overruns, status.failures), (0, vec![(Hook::InterceptingPublish, 3)]));
    assert!(status.last_error.unwrap().contains("wasm backtrace"));
}

#[test]
fn rubbish_is_a_failure_like_a_trap() {
    let mut plugin = hostile();
    plugin.budgets.decision = Duration::from_secs(5);
    let host = Host::start_with(patient(), &[plugin]);
    let topics =
        ["rubbish-reason", "rubbish-topic", "rubbish-long-topic", "rubbish-empty-topic", "huge-payload"];
    for wish in topics {
        assert!(is_rejected(&host.publish(wish)), "{wish}");
        assert!(host.status().last_error.is_some(), "{wish}");
    }
    let denied = ConnectVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    for wish in ["rubbish", "rubbish-identifier"] {
        let outcome = host.connect(wish);
        assert_eq!(outcome.verdict, denied, "{wish}");
        assert_eq!(outcome.overrides, ConnectOverrides::default(), "{wish}");
    }
}

#[test]
fn floods_are_cut_off() {
    let mut plugin = hostile();
    plugin.budgets.decision = Duration::from_secs(10);
    plugin.budgets.state_bytes = 1 << 20;
    let mut host = Host::start_with(patient(), &[plugin]);
    assert!(matches!(host.publish("flood-publish").verdict, PublishVerdict::Continue));
    let mut published = 0;
    while host.requests.try_recv().is_some() {
        published += 1;
    }
    assert_eq!(published, Budgets::default().publishes_per_call);
    assert!(matches!(host.publish("flood-state").verdict, PublishVerdict::Continue));
    assert!(matches!(host.publish("flood-log").verdict, PublishVerdict::Continue));
    assert_eq!(host.status().failures, []);
}

#[test]
fn more_host_calls_than_the_budget_end_the_call() {
    let mut plugin = hostile();
    plugin.budgets.decision = Duration::from_secs(10);
    plugin.budgets.host_calls_per_call = 20;
    let host = Host::start_with(patient(), &[plugin]);
    assert!(is_rejected(&host.publish("flood-state")));
    assert!(host.status().last_error.unwrap().contains("more than 20 host calls in one call"));
    // Sixteen may be published, and one more is what tells the plugin so; the count begins anew with each call.
    for _ in 0..3 {
        assert!(matches!(host.publish("flood-publish").verdict, PublishVerdict::Continue));
    }
}

#[cfg(feature = "daemon")]
#[test]
fn log_lines_over_the_rate_are_dropped_and_counted() {
    let mut plugin = hostile();
    plugin.budgets.decision = Duration::from_secs(30);
    let host = Host::start(&[plugin]);
    // Beside other tests, which have no subscriber, the first flood may find that nobody listens.
    eventually("lines are dropped", || {
        let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
        tracing::subscriber::with_default(subscriber, || host.publish("flood-log"));
        host.status().dropped_log_lines > 90_000
    });
}

#[test]
fn after_an_overrun_calls_are_made_aside_and_good_ones_still_answered() {
    let host = Host::start_with(patient(), &[hostile()]);
    assert!(is_rejected(&host.publish("loop")));
    assert_eq!(host.status().state, PluginState::Probation);
    let (client, message) = (client("sender"), message("ok", "x"));
    let begun = Instant::now();
    let answer =
        host.host.intercepting_publish(PublishContext { client: Some(&client), message: &message, now: NOW });
    assert!(begun.elapsed() < Duration::from_millis(5));
    assert!(matches!(answer, Answer::Later(_)));
    assert!(matches!(wait(answer).verdict, PublishVerdict::Continue));
}

#[test]
fn five_failures_bring_quarantine_and_the_policy_answers_without_asking() {
    let quarantine = QuarantineOptions { first: Duration::from_millis(200), ..QuarantineOptions::default() };
    let host = Host::start_with(HostOptions { quarantine, ..host_options() }, &[hostile()]);
    for _ in 0..5 {
        assert!(is_rejected(&host.publish("trap")));
    }
    assert!(matches!(host.status().state, PluginState::Quarantined { .. }));
    assert!(is_rejected(&host.publish("ok")), "a well-behaved call is not made either");
    let status = host.status();
    assert_eq!((status.calls, status.quarantines, status.not_asked), (5, 1, 1));
    eventually("the quarantine ends", || !is_rejected(&host.publish("ok")));
    assert_eq!(host.status().state, PluginState::Probation);
    assert!(is_rejected(&host.publish("trap")), "one failure is enough now");
    let PluginState::Quarantined { left } = host.status().state else { panic!() };
    assert!(left > Duration::from_millis(200), "twice as long: {left:?}");
}

#[test]
fn the_failure_policy_of_each_hook_speaks() {
    let with = |policy| PluginOptions { policies: FailurePolicies::all(policy), ..hostile() };
    let host = |policy| Host::start_with(patient(), &[with(policy), options("every-hook")]);

    let allow = host(FailurePolicy::Allow);
    assert!(matches!(allow.publish("trap").verdict, PublishVerdict::Continue));
    assert_eq!(allow.connect("trap").verdict, ConnectVerdict::Allow);

    let next = host(FailurePolicy::Next);
    assert!(matches!(next.publish("trap").verdict, PublishVerdict::Continue));
    assert_eq!(next.connect("trap").verdict, ConnectVerdict::Allow, "the second plugin allows it");

    let disconnect = host(FailurePolicy::Disconnect);
    let outcome = disconnect.publish("trap");
    assert!(is_rejected(&outcome));
    assert_eq!(outcome.reply.unwrap().close, Some(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR));

    let last_good = host(FailurePolicy::LastGood);
    assert!(is_rejected(&last_good.publish("trap")), "there is no version before");
}

#[test]
fn a_broken_instance_is_replaced_in_the_background() {
    let host = Host::start_with(patient(), &[hostile()]);
    for _ in 0..50 {
        assert!(is_rejected(&host.publish("trap")));
        assert!(matches!(host.publish("ok").verdict, PublishVerdict::Continue));
    }
}

#[test]
fn many_threads_call_one_plugin_that_fails_now_and_then() {
    let host = Host::start_with(HostOptions { workers: 2, ..patient() }, &[hostile()]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..50 {
                    let wish = if turn % 10 == 9 { "trap" } else { "ok" };
                    assert_eq!(is_rejected(&host.publish(wish)), wish == "trap");
                }
            });
        }
    });
    let status = host.status();
    assert_eq!((status.calls, status.failures), (400, vec![(Hook::InterceptingPublish, 40)]));
}
