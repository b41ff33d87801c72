//! The hook `lifecycle`: how a plugin is made and replaced.

use serde::de::DeserializeOwned;

use crate::__private::{Exported, Instance};
use crate::bindings::lifecycle::exports::tidegate::plugin::lifecycle as generated;
use crate::settings;

/// What a version that is replaced hands to the one that replaces it.
pub use generated::Handover;
/// What the plugin asks of the broker; see [`Registration::new`].
pub use generated::Registration;

/// How an instance of a plugin begins and ends. What instances must share belongs in
/// [`state`](crate::state).
pub trait Lifecycle: Sized {
    /// The plugin's table of the configuration; [`NoSettings`](crate::NoSettings) where it has none.
    /// Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt key is an error.
    type Settings: DeserializeOwned;

    /// Called once, before any hook. With an error this version does not start: the one before it stays
    /// in use, or the broker refuses to start; so say what the operator should do.
    fn init(settings: Self::Settings) -> Result<(Self, Registration), String>;

    /// Called when this instance will not be called again.
    fn drain(self) -> Option<Handover> {
        None
    }

    /// Takes what [`drain`](Self::drain) of the version before returned.
    fn migrate(&mut self, _handover: Handover) -> Result<(), String> {
        Ok(())
    }
}

/// ```
/// use tidegate_plugin::Registration;
/// let registration = Registration::new().topics(["sensors/#"]).eager_payload(0);
/// # assert_eq!(registration.topics, ["sensors/#"]);
/// ```
impl Registration {
    /// All topics, payloads up to the broker's default, deliveries not authorized.
    pub const fn new() -> Self {
        Self { topics: Vec::new(), eager_payload: None, authorize_deliveries: false }
    }

    /// Only publishes and not-consumed messages that match one of these Topic Filters enter the plugin.
    pub fn topics<T: Into<String>>(mut self, filters: impl IntoIterator<Item = T>) -> Self {
        self.topics = filters.into_iter().map(Into::into).collect();
        self
    }

    /// Payloads up to this many bytes come with the call, longer ones are fetched where the plugin looks
    /// at them; 0 for plugins that do not look.
    pub const fn eager_payload(mut self, bytes: u32) -> Self {
        self.eager_payload = Some(bytes);
        self
    }

    /// Asks the authorizer before every delivery too.
    pub const fn authorize_deliveries(mut self) -> Self {
        self.authorize_deliveries = true;
        self
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Instance + Lifecycle> generated::Guest for Exported<P> {
    fn init(settings: String) -> Result<Registration, String> {
        crate::__private::log_panics();
        let (plugin, registration) = P::init(settings::parse(&settings)?)?;
        P::cell().set(Some(plugin));
        Ok(registration)
    }

    fn drain() -> Option<Handover> {
        P::cell().take().and_then(P::drain)
    }

    fn migrate(handover: Handover) -> Result<(), String> {
        crate::__private::with(|plugin: &mut P| plugin.migrate(handover))
    }
}
