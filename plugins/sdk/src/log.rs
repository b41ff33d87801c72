//! The broker's log, under the plugin's name.
//!
//! ```
//! # tidegate_plugin::testing::reset();
//! tidegate_plugin::warn!("device refused", device = "boiler-7", attempts = 3);
//! ```
//!
//! Values are anything that implements `Display`. Payloads and passwords do not belong into logs. Lines
//! over the plugin's rate are dropped and counted.

use crate::host;

pub use crate::bindings::host::tidegate::plugin::log::Level;
pub use crate::{debug, error, info, trace, warn};

/// A line with fields. The macros are the usual way.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    host::log::write(level, message, fields);
}

/// Whether lines of this level are kept at all.
pub fn enabled(level: Level) -> bool {
    host::log::enabled(level)
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:expr $(, $key:ident = $value:expr)* $(,)?) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write(
                $crate::log::Level::$level,
                ::core::convert::AsRef::<str>::as_ref(&$message),
                &[$((::core::stringify!($key), $crate::__private::ToString::to_string(&$value).as_str())),*],
            );
        }
    };
}

/// See [`log`](crate::log).
#[macro_export]
macro_rules! trace { ($($line:tt)+) => { $crate::__log!(Trace, $($line)+) }; }

/// See [`log`](crate::log).
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) }; }

/// See [`log`](crate::log).
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::__log!(Info, $($line)+) }; }

/// See [`log`](crate::log).
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) }; }

/// See [`log`](crate::log).
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::__log!(Error, $($line)+) }; }
