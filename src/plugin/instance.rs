//! One instance of a plugin in a Store of its own, and the blueprint that it is made from.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use super::bindings::exports::tidegate::plugin as exports;
use super::engine::{Deadline, STAGES};
use super::error::Problem;
use super::host::{Call, HostData, Services};
use super::memory::Limits;
use super::options::{Budgets, Hook};
use super::wasi::Wasi;
use crate::hook::{ClientInfo, ConnectOverrides, Receiver};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::Connect;

/// What every instance of one version of a plugin is made from.
pub(super) struct Blueprint {
    engine: Engine,
    pre: InstancePre<HostData>,
    indices: Indices,
    pub(super) needs: Needs,
    pub(super) services: Arc<Services>,
    pub(super) budgets: Budgets,
    decision: Deadline,
    lifecycle: Deadline,
}

/// Declares for each exported interface its field: where it is looked up once per version, and where its
/// functions lie per instance.
macro_rules! exported {
    ($($field:ident),*) => {
        #[derive(Default)]
        struct Indices {
            $($field: Option<exports::$field::GuestIndices>,)*
        }

        /// The functions of an instance that the host calls; none where it does not export the hook.
        #[derive(Default)]
        pub(super) struct Exports {
            $(pub(super) $field: Option<exports::$field::Guest>,)*
        }

        impl Indices {
            fn load(
                &self,
                store: &mut Store<HostData>,
                instance: &wasmtime::component::Instance,
            ) -> Result<Exports, Vec<Problem>> {
                let (mut loaded, mut problems) = (Exports::default(), Vec::new());
                $(if let Some(indices) = &self.$field {
                    match indices.load(&mut *store, instance) {
                        Ok(guest) => loaded.$field = Some(guest),
                        Err(error) => problems.push(wrong_types(stringify!($field), &error)),
                    }
                })*
                if problems.is_empty() { Ok(loaded) } else { Err(problems) }
            }
        }
    };
}

exported!(
    lifecycle,
    validating_connection,
    authorizer,
    intercepting_publish,
    intercepting_client_enqueue,
    intercepting_subscription,
    intercepting_unsubscription,
    application_message_not_consumed,
    events
);

fn wrong_types(field: &str, error: &wasmtime::Error) -> Problem {
    Problem::WrongTypes { hook: field.replace('_', "-"), reason: format!("{error:#}") }
}

impl Blueprint {
    /// `hooks` are those that the component exports and the configuration wants.
    pub(super) fn new(
        linker: &Linker<HostData>,
        component: &Component,
        hooks: &[Hook],
        has_lifecycle: bool,
        services: Arc<Services>,
        budgets: Budgets,
    ) -> Result<Blueprint, Vec<Problem>> {
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| vec![Problem::WrongImport(format!("{error:#}"))])?;
        let mut problems = Vec::new();
        let mut indices = Indices::default();
        macro_rules! look_up {
            ($wanted:expr, $field:ident) => {
                if $wanted {
                    match exports::$field::GuestIndices::new(&pre) {
                        Ok(found) => indices.$field = Some(found),
                        Err(error) => problems.push(wrong_types(stringify!($field), &error)),
                    }
                }
            };
        }
        look_up!(has_lifecycle, lifecycle);
        look_up!(hooks.contains(&Hook::ValidatingConnection), validating_connection);
        look_up!(hooks.contains(&Hook::Authorizer), authorizer);
        look_up!(hooks.contains(&Hook::InterceptingPublish), intercepting_publish);
        look_up!(hooks.contains(&Hook::InterceptingClientEnqueue), intercepting_client_enqueue);
        look_up!(hooks.contains(&Hook::InterceptingSubscription), intercepting_subscription);
        look_up!(hooks.contains(&Hook::InterceptingUnsubscription), intercepting_unsubscription);
        look_up!(hooks.contains(&Hook::ApplicationMessageNotConsumed), application_message_not_consumed);
        look_up!(hooks.contains(&Hook::Events), events);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Blueprint {
            engine: component.engine().clone(),
            needs: Needs::of(component),
            pre,
            indices,
            services,
            decision: Deadline::of(budgets.decision),
            lifecycle: Deadline::of(budgets.lifecycle),
            budgets,
        })
    }

    /// A new instance, on which `init` was called.
    pub(super) fn instantiate(&self) -> Result<(Instance, Registration), Vec<Problem>> {
        let mut store = self.store();
        // Only an engine that meters fuel takes it, and without any nothing runs.
        let metered = store.set_fuel(FULL).is_ok();
        let instance = self
            .pre
            .instantiate(&mut store)
            .map_err(|error| vec![Problem::NotInstantiable(format!("{error:#}"))])?;
        let exports = self.indices.load(&mut store, &instance)?;
        let mut instance = Instance { store, exports, decision: self.decision, metered, spent: 0 };
        let registration = self.init(&mut instance).map_err(|problem| vec![problem])?;
        Ok((instance, registration))
    }

    fn store(&self) -> Store<HostData> {
        let data = HostData {
            limits: Limits::new(limits(&self.budgets), Arc::clone(&self.services.memory)),
            services: Arc::clone(&self.services),
            call: Call::default(),
            packed: Vec::new(),
            wasi: Wasi::default(),
            stage: self.lifecycle.stage,
            stages_left: STAGES,
            stage_ends: 0,
        };
        let mut store = Store::new(&self.engine, data);
        store.limiter(|data| &mut data.limits);
        store.set_hostcall_fuel(self.budgets.handed_over);
        store.epoch_deadline_callback(|mut store| Ok(at_the_end_of_a_stage(store.data_mut())));
        store.set_epoch_deadline(self.lifecycle.first);
        store
    }

    fn init(&self, instance: &mut Instance) -> Result<Registration, Problem> {
        instance.begin_at(self.lifecycle);
        let Some(lifecycle) = &instance.exports.lifecycle else { return Ok(NO_REGISTRATION) };
        let answer = lifecycle.call_init(&mut instance.store, &self.services.settings);
        instance.end_metering();
        instance.store.data_mut().call.end();
        match answer {
            Ok(Ok(registration)) => Ok(registration),
            Ok(Err(refusal)) => Err(Problem::Refused(refusal)),
            Err(error) => Err(Problem::InitFailed(format!("{error:?}"))),
        }
    }
}

pub(super) type Registration = exports::lifecycle::Registration;
pub(super) type Handover = exports::lifecycle::Handover;

/// What holds for a plugin without `init`.
const NO_REGISTRATION: Registration =
    Registration { topics: Vec::new(), eager_payload: None, authorize_deliveries: false };

fn at_the_end_of_a_stage(data: &mut HostData) -> UpdateDeadline {
    if let Some(left) = data.left_after_waiting() {
        return UpdateDeadline::Continue(left);
    }
    if data.stages_left == 0 {
        return UpdateDeadline::Interrupt;
    }
    data.stages_left -= 1;
    data.begin_stage(data.stage);
    UpdateDeadline::Continue(data.stage)
}

fn limits(budgets: &Budgets) -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(budgets.memory)
        .table_elements(budgets.table_elements)
        .instances(budgets.parts)
        .memories(budgets.parts)
        .tables(budgets.parts)
        .build()
}

/// An instance is called by one thread at a time, and never again after it failed.
pub(super) struct Instance {
    pub(super) store: Store<HostData>,
    pub(super) exports: Exports,
    decision: Deadline,
    /// The engine counts the fuel that calls spend.
    metered: bool,
    /// By the last call.
    spent: u64,
}

/// Fuel of a call, more than any can use up within its time.
const FULL: u64 = u64::MAX;

impl Instance {
    /// To be called before each call of a hook.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.begin_at(self.decision);
    }

    /// To be called before a call that gets more time than a decision.
    pub(super) fn begin_within(&mut self, budget: Duration) {
        self.begin_at(Deadline::of(budget));
    }

    #[inline]
    fn begin_at(&mut self, deadline: Deadline) {
        self.store.set_epoch_deadline(deadline.first);
        let data = self.store.data_mut();
        data.stage = deadline.stage;
        data.stages_left = STAGES;
        data.begin_stage(deadline.first);
        if self.metered {
            self.begin_metering();
        }
    }

    #[cold]
    fn begin_metering(&mut self) {
        let full = self.tank();
        let _ = self.store.set_fuel(full);
    }

    /// What a call may spend at most.
    fn tank(&self) -> u64 {
        self.store.data().services.given.as_ref().map_or(FULL, |given| given.tank())
    }

    /// To be called after each call whose fuel is to be noted.
    #[inline]
    pub(super) fn end_metering(&mut self) {
        if self.metered {
            self.note_fuel();
        }
    }

    #[cold]
    fn note_fuel(&mut self) {
        self.spent = self.store.get_fuel().map_or(0, |left| self.tank() - left);
        if let Some(given) = &self.store.data().services.given {
            given.spent(self.spent);
        }
    }

    /// Fuel of the last call whose metering was ended; none where the engine does not count it.
    #[inline]
    pub(super) fn spent(&self) -> Option<u64> {
        self.metered.then_some(self.spent)
    }

    /// The last call of this instance.
    pub(super) fn drain(mut self, budget: Duration) -> wasmtime::Result<Option<Handover>> {
        self.begin_within(budget);
        match &self.exports.lifecycle {
            Some(lifecycle) => lifecycle.call_drain(&mut self.store),
            None => Ok(None),
        }
    }

    pub(super) fn migrate(
        &mut self,
        budget: Duration,
        handover: &Handover,
    ) -> wasmtime::Result<Result<(), String>> {
        self.begin_within(budget);
        match &self.exports.lifecycle {
            Some(lifecycle) => {
                let answer = lifecycle.call_migrate(&mut self.store, handover);
                // What it has set is about no packet, and not to be taken for that of the next call.
                self.store.data_mut().call.end();
                answer
            }
            None => Ok(Ok(())),
        }
    }
}

/// Which facts about a call the component can ask for, by the functions that it imports: what it cannot
/// ask for is not put into [`Call`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) client: bool,
    pub(super) payload: bool,
    pub(super) properties: bool,
    pub(super) connect: bool,
    pub(super) receivers: bool,
    pub(super) session_items: bool,
}

impl Needs {
    fn of(component: &Component) -> Needs {
        let engine = component.engine();
        let mut needs = Needs::default();
        for (name, import) in component.component_type().imports(engine) {
            let wasmtime::component::types::ComponentItem::ComponentInstance(interface) = import.ty else {
                continue;
            };
            let name = name.split('@').next().unwrap_or(name);
            for (function, _) in interface.exports(engine) {
                needs.add(name, function);
            }
        }
        needs
    }

    fn add(&mut self, interface: &str, function: &str) {
        match (interface, function) {
            ("tidegate:plugin/client", "session-identifier") => self.receivers = true,
            ("tidegate:plugin/client", _) => self.client = true,
            ("tidegate:plugin/message", "payload") => self.payload = true,
            ("tidegate:plugin/message", "modify" | "choose") => {}
            ("tidegate:plugin/message", _) => self.properties = true,
            ("tidegate:plugin/connection", _) => self.connect = true,
            ("tidegate:plugin/session-items", _) => (self.client, self.session_items) = (true, true),
            _ => {}
        }
    }

    /// For a call that is about a client.
    #[inline]
    pub(super) fn set_client(self, call: &mut Call, client: Option<&Arc<ClientInfo>>) {
        if self.client {
            call.client = client.cloned();
        }
    }

    /// For a call that is about a client which is not in yet, for whom this was set so far.
    pub(super) fn set_connect(self, call: &mut Call, connect: &Connect, so_far: &ConnectOverrides) {
        if self.connect {
            call.connect = Some(Box::new(connect.clone()));
        }
        if self.session_items {
            call.items_so_far = Some(so_far.session_items.clone());
        }
    }

    /// For a call that is about a message.
    #[inline]
    pub(super) fn set_message(self, call: &mut Call, message: &ApplicationMessage, now: Timestamp) {
        call.depth = message.depth;
        if self.payload {
            call.payload = Some(message.payload.clone());
        }
        if self.properties {
            call.properties.clone_from(&message.properties);
            call.expiry_interval = message.expiry_interval(now);
        }
    }

    /// For a call that is about receivers.
    pub(super) fn set_receivers<'a>(self, call: &mut Call, receivers: impl Iterator<Item = &'a Receiver>) {
        if self.receivers {
            call.receivers.extend(receivers.map(|it| (it.session, it.client_identifier.clone())));
        }
    }
}
