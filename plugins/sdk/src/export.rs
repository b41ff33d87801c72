//! From a plugin's type to the functions that the broker calls.

/// Makes a plugin of a type: names the type and the hooks that it implements.
///
/// ```
/// # use tidegate_plugin::prelude::*;
/// # struct Audit;
/// # impl Lifecycle for Audit {
/// #     type Settings = NoSettings;
/// #     fn init(_: NoSettings) -> Result<(Self, Registration), String> { Ok((Audit, Registration::new())) }
/// # }
/// # impl Events for Audit { fn handle(&mut self, _: &[Event<'_>]) {} }
/// tidegate_plugin::export!(Audit: lifecycle, events);
/// # fn main() {}
/// ```
///
/// The names: `lifecycle`, `validating_connection`, `authorizer`, `intercepting_publish`,
/// `intercepting_client_enqueue`, `intercepting_subscription`, `intercepting_unsubscription`,
/// `application_message_not_consumed`, `events`. Where `lifecycle` is not among them, the plugin is made
/// by its `Default`. Off Wasm the macro only checks that the traits are there.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::core::cell::RefCell<::core::option::Option<$plugin>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }
            impl $crate::__private::Instance for $plugin {
                fn cell() -> &'static $crate::__private::Cell<Self> {
                    &INSTANCE
                }
                fn fresh() -> Self {
                    $crate::__fresh!($plugin: $($hook)+)
                }
            }
            type Exported = $crate::__private::Exported<$plugin>;
            $($crate::__export_hook!($hook);)+
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            $($crate::__require_hook!($plugin: $hook);)+
            let _ = || -> $plugin { $crate::__fresh!($plugin: $($hook)+) };
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fresh {
    ($plugin:ident: lifecycle $($rest:ident)*) => {
        ::core::panic!("a hook was called before init")
    };
    ($plugin:ident: $hook:ident $($rest:ident)*) => {
        $crate::__fresh!($plugin: $($rest)*)
    };
    ($plugin:ident:) => {
        <$plugin as ::core::default::Default>::default()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (lifecycle) => {
        $crate::bindings::lifecycle::export_lifecycle!(Exported with_types_in $crate::bindings::lifecycle);
    };
    (validating_connection) => {
        $crate::bindings::validating_connection::export_validating_connection!(
            Exported with_types_in $crate::bindings::validating_connection);
    };
    (authorizer) => {
        $crate::bindings::authorizer::export_authorizer!(Exported with_types_in $crate::bindings::authorizer);
    };
    (intercepting_publish) => {
        $crate::bindings::intercepting_publish::export_intercepting_publish!(
            Exported with_types_in $crate::bindings::intercepting_publish);
    };
    (intercepting_client_enqueue) => {
        $crate::bindings::intercepting_client_enqueue::export_intercepting_client_enqueue!(
            Exported with_types_in $crate::bindings::intercepting_client_enqueue);
    };
    (intercepting_subscription) => {
        $crate::bindings::intercepting_subscription::export_intercepting_subscription!(
            Exported with_types_in $crate::bindings::intercepting_subscription);
    };
    (intercepting_unsubscription) => {
        $crate::bindings::intercepting_unsubscription::export_intercepting_unsubscription!(
            Exported with_types_in $crate::bindings::intercepting_unsubscription);
    };
    (application_message_not_consumed) => {
        $crate::bindings::application_message_not_consumed::export_application_message_not_consumed!(
            Exported with_types_in $crate::bindings::application_message_not_consumed);
    };
    (events) => {
        $crate::bindings::events::export_events!(Exported with_types_in $crate::bindings::events);
    };
    ($other:ident) => {
        ::core::compile_error!(::core::concat!("there is no hook named ", ::core::stringify!($other)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __require_hook {
    ($plugin:ident: lifecycle) => {
        let _ = <$plugin as $crate::Lifecycle>::init;
    };
    ($plugin:ident: validating_connection) => {
        let _ = <$plugin as $crate::ValidatingConnection>::validate;
    };
    ($plugin:ident: authorizer) => {
        let _ = <$plugin as $crate::Authorizer>::authorize;
    };
    ($plugin:ident: intercepting_publish) => {
        let _ = <$plugin as $crate::InterceptingPublish>::intercept;
    };
    ($plugin:ident: intercepting_client_enqueue) => {
        let _ = <$plugin as $crate::InterceptingClientEnqueue>::intercept;
    };
    ($plugin:ident: intercepting_subscription) => {
        let _ = <$plugin as $crate::InterceptingSubscription>::intercept;
    };
    ($plugin:ident: intercepting_unsubscription) => {
        let _ = <$plugin as $crate::InterceptingUnsubscription>::intercept;
    };
    ($plugin:ident: application_message_not_consumed) => {
        let _ = <$plugin as $crate::ApplicationMessageNotConsumed>::not_consumed;
    };
    ($plugin:ident: events) => {
        let _ = <$plugin as $crate::Events>::handle;
    };
    ($plugin:ident: $other:ident) => {
        ::core::compile_error!(::core::concat!("there is no hook named ", ::core::stringify!($other)));
    };
}

/// For [`export!`] alone.
pub mod __private {
    use std::cell::RefCell;
    use std::marker::PhantomData;
    use std::thread::LocalKey;

    pub use std::string::ToString;

    pub type Cell<P> = LocalKey<RefCell<Option<P>>>;

    /// Where a plugin's one value per Wasm instance lives.
    pub trait Instance: Sized + 'static {
        fn cell() -> &'static Cell<Self>;
        /// The value for a hook that is called without an `init` before it.
        fn fresh() -> Self;
    }

    /// Carries a plugin's hooks to the generated code.
    pub struct Exported<P>(PhantomData<P>);

    pub(crate) fn with<P: Instance, R>(hook: impl FnOnce(&mut P) -> R) -> R {
        P::cell().with_borrow_mut(|plugin| {
            hook(plugin.get_or_insert_with(|| {
                log_panics();
                P::fresh()
            }))
        })
    }

    /// On Wasm a panic's message would be lost: what the broker sees is a trap.
    pub(crate) fn log_panics() {
        #[cfg(target_family = "wasm")]
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or_default();
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            crate::log::write(
                crate::log::Level::Error,
                "the plugin panicked",
                &[("message", message), ("location", &location)],
            );
        }));
    }
}
