//! What the host and each plugin are started with. Another part makes these from the configuration file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::kept_state::KeptStates;
use super::trust::Trust;
use crate::topic::TopicFilter;

/// What all plugins share.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where compiled code is kept; created with mode 0700. None: every start compiles again.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of compiled code that are kept there; what was not used for longest gives way.
    pub cache_bytes: u64,
    /// Where plugins become machine code.
    pub compile_in: CompileIn,
    /// Whether the fuel that calls spend is counted: a measure of what was executed, the same on every machine.
    /// It makes what runs inside plugins about a tenth slower.
    pub count_fuel: bool,
    /// About how many threads call hooks; each plugin has one instance for each of them, and a spare. 0: one
    /// instance and no spare.
    pub workers: usize,
    /// Whether changed plugin files are loaded without being told to.
    pub watch: bool,
    /// How long a file has to lie still before it is loaded.
    pub settle: Duration,
    /// How many events may wait for the plugins that observe them.
    pub event_queue: usize,
    /// PEM, of certificates to trust in HTTP requests beside those that the system trusts.
    pub http_ca: Option<PathBuf>,
    pub quarantine: QuarantineOptions,
    /// What the state of plugins was, and where it is kept from now on.
    pub kept: KeptStates,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            cache_dir: None,
            cache_bytes: 1 << 30,
            compile_in: CompileIn::default(),
            count_fuel: false,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            watch: true,
            settle: Duration::from_millis(150),
            event_queue: 10_000,
            http_ca: None,
            quarantine: QuarantineOptions::default(),
            kept: KeptStates::default(),
        }
    }
}

/// Where a plugin becomes machine code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompileIn {
    /// In this process, on the thread that loads the plugin. Nothing ends it, whatever time and memory it takes: for
    /// plugins that are known, and for programs that make nothing of the other way.
    #[default]
    ThisProcess,
    /// In a process of its own, of the same program, within [`Budgets::compile_time`] and
    /// [`Budgets::compile_memory`]. The program has to call
    /// [`compile_if_asked`](crate::plugin::compile_if_asked) first of all.
    OwnProcess,
}

/// When a plugin is not called any more, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineOptions {
    /// This many failures
    pub failures: u32,
    /// within this time
    pub within: Duration,
    /// keep the plugin out for this long, and twice as long each time it happens again,
    pub first: Duration,
    /// up to this.
    pub longest: Duration,
    /// After an overrun or a quarantine, a plugin is called on a thread of its own until it has gone
    /// without failure for this long.
    pub probation: Duration,
}

impl Default for QuarantineOptions {
    fn default() -> QuarantineOptions {
        QuarantineOptions {
            failures: 5,
            within: Duration::from_secs(10),
            first: Duration::from_secs(5),
            longest: Duration::from_secs(300),
            probation: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PluginOptions {
    /// In logs, metrics and errors; unique.
    pub name: String,
    /// A component or a core module.
    pub path: PathBuf,
    pub trust: Trust,
    /// Passed to the plugin as JSON.
    pub settings: serde_json::Value,
    /// Whether its state is kept where the broker's is. Else it ends with the process.
    pub keep_state: bool,
    /// None: every hook that the plugin exports.
    pub hooks: Option<Vec<Hook>>,
    /// Publishes and not-consumed messages that match none of these are kept away from the plugin;
    /// empty: none is.
    pub topics: Vec<TopicFilter>,
    /// Names of listeners: the plugin is asked about the clients that came through one of these, and about what they
    /// publish; empty: about all.
    pub listeners: Vec<String>,
    pub budgets: Budgets,
    pub grants: Grants,
    pub policies: FailurePolicies,
}

impl PluginOptions {
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> PluginOptions {
        PluginOptions {
            name: name.into(),
            path: path.into(),
            trust: Trust::default(),
            settings: serde_json::Value::Object(serde_json::Map::new()),
            keep_state: true,
            hooks: None,
            topics: Vec::new(),
            listeners: Vec::new(),
            budgets: Budgets::default(),
            grants: Grants::default(),
            policies: FailurePolicies::default(),
        }
    }
}

/// What a plugin may do beyond answering hooks; by default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// Topics that it may publish to match one of these.
    pub publish: Vec<TopicFilter>,
    /// Topics whose retained message it may read match one of these.
    pub retained: Vec<TopicFilter>,
    /// It may look at clients and sessions, disconnect clients, and subscribe sessions.
    pub clients: bool,
    /// It may read and write the items that plugins keep with sessions.
    pub session_items: bool,
    /// Hosts that it may send HTTP requests to: `auth.example.com`, with any port, or
    /// `auth.example.com:8443`.
    pub hosts: Vec<String>,
    /// Files and folders that it may read through WASI: the path that it sees, and the one on this machine.
    pub files: BTreeMap<String, PathBuf>,
}

/// How much of what a plugin may use. Over budget is a failure, or an error that the plugin sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of its file.
    pub file: usize,
    /// Wall clock, of compiling it in a process of its own. What componentize-py makes of Python, 18 MB, takes 12 s of
    /// CPU and 400 MB of memory.
    pub compile_time: Duration,
    /// Bytes of address space of that process, on Linux; its code may have a quarter of that.
    pub compile_memory: usize,
    /// Wall clock, of one call of a hook.
    pub decision: Duration,
    /// Wall clock, of instantiation, `init`, `drain`, `migrate` and a batch of events.
    pub lifecycle: Duration,
    /// Bytes of linear memory per instance.
    pub memory: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// Core instances, memories and tables in one instance of the plugin, each.
    pub parts: usize,
    /// Bytes that the plugin hands to the broker with one answer or one host call. About twice the
    /// maximum packet size.
    pub handed_over: usize,
    pub log_lines_per_second: u32,
    pub publishes_per_call: u32,
    /// Calls of the services that cost the broker something, in one call of the plugin: `state`, `broker`,
    /// `session-items`, `metrics`, `crypto`, `http`, `passwords`.
    pub host_calls_per_call: u32,
    pub state_keys: usize,
    /// Bytes of keys and values.
    pub state_bytes: usize,
    /// Of a plugin that imports a service that waits: logins that it is asked about at the same time, and as many
    /// other calls, each on a thread of its own.
    pub calls_at_once: u32,
    /// Wall clock, of one HTTP request.
    pub http_timeout: Duration,
    pub http_requests_per_call: u32,
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets {
            // Three times what the largest toolchain makes, componentize-py with 18 MB.
            file: 64 << 20,
            compile_time: Duration::from_secs(120),
            compile_memory: 2 << 30,
            decision: Duration::from_millis(10),
            lifecycle: Duration::from_millis(100),
            memory: 64 << 20,
            table_elements: 100_000,
            // What componentize-py makes of Python has a module for each of its libraries, about 60.
            parts: 128,
            handed_over: 4 << 20,
            log_lines_per_second: 100,
            publishes_per_call: 16,
            host_calls_per_call: 10_000,
            state_keys: 100_000,
            state_bytes: 16 << 20,
            calls_at_once: 8,
            http_timeout: Duration::from_secs(5),
            http_requests_per_call: 4,
        }
    }
}

/// A hook, under its one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    ValidatingConnection,
    Authorizer,
    InterceptingPublish,
    InterceptingClientEnqueue,
    InterceptingSubscription,
    InterceptingUnsubscription,
    ApplicationMessageNotConsumed,
    Events,
}

impl Hook {
    pub const COUNT: usize = 8;

    pub const ALL: [Hook; Hook::COUNT] = [
        Hook::ValidatingConnection,
        Hook::Authorizer,
        Hook::InterceptingPublish,
        Hook::InterceptingClientEnqueue,
        Hook::InterceptingSubscription,
        Hook::InterceptingUnsubscription,
        Hook::ApplicationMessageNotConsumed,
        Hook::Events,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Hook::ValidatingConnection => "validating-connection",
            Hook::Authorizer => "authorizer",
            Hook::InterceptingPublish => "intercepting-publish",
            Hook::InterceptingClientEnqueue => "intercepting-client-enqueue",
            Hook::InterceptingSubscription => "intercepting-subscription",
            Hook::InterceptingUnsubscription => "intercepting-unsubscription",
            Hook::ApplicationMessageNotConsumed => "application-message-not-consumed",
            Hook::Events => "events",
        }
    }

    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.name() == name)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What answers in place of a plugin that failed or is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Refuse what was asked about.
    Deny,
    /// Let it pass without asking further plugins for a verdict.
    Allow,
    /// As if the plugin were not there.
    Next,
    /// Go back to the version before; deny until that is done, or where there is none.
    LastGood,
    /// Deny, and end the connection.
    Disconnect,
}

impl FailurePolicy {
    /// What holds for a hook where nothing is configured.
    pub const fn default_for(hook: Hook) -> FailurePolicy {
        match hook {
            Hook::ApplicationMessageNotConsumed | Hook::Events => FailurePolicy::Next,
            _ => FailurePolicy::Deny,
        }
    }

    pub fn from_name(name: &str) -> Option<FailurePolicy> {
        Some(match name {
            "deny" => FailurePolicy::Deny,
            "allow" => FailurePolicy::Allow,
            "next" => FailurePolicy::Next,
            "last-good" => FailurePolicy::LastGood,
            "disconnect" => FailurePolicy::Disconnect,
            _ => return None,
        })
    }
}

/// One policy per hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailurePolicies([FailurePolicy; Hook::COUNT]);

impl FailurePolicies {
    /// The same for every hook.
    pub fn all(policy: FailurePolicy) -> FailurePolicies {
        FailurePolicies([policy; Hook::COUNT])
    }

    pub fn with(mut self, hook: Hook, policy: FailurePolicy) -> FailurePolicies {
        self.0[hook.index()] = policy;
        self
    }

    pub fn of(&self, hook: Hook) -> FailurePolicy {
        self.0[hook.index()]
    }
}

impl Default for FailurePolicies {
    fn default() -> FailurePolicies {
        FailurePolicies(Hook::ALL.map(FailurePolicy::default_for))
    }
}
