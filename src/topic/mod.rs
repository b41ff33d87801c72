//! Topic Names, Topic Filters, and the trees that find one by the other (sections 4.7 and 4.8 of MQTT 5.0).
//!
//! [`TopicName`] and [`TopicFilter`] are valid by construction. [`FilterTree`] answers "who subscribed to this
//! name?", [`RetainedTree`] answers "which retained messages does this filter select?", and [`TopicFilters`]
//! only says whether any filter of a list matches.
//!
//! Nothing here knows sessions, messages or locks: the trees hold whatever keys and values the caller gives.

mod error;
mod filter;
mod filter_list;
mod filter_tree;
mod hash;
mod hash_index;
mod keyed_list;
mod label;
mod name;
mod path_tree;
mod retained_tree;
mod template;

pub use error::InvalidTopic;
pub use filter::TopicFilter;
pub use filter_list::TopicFilters;
pub use filter_tree::{FilterTree, Match, SharedGroup};
pub(crate) use hash::Seed;
pub(crate) use keyed_list::KeyedList;
pub use name::TopicName;
pub use retained_tree::{Cursor, RetainedTree};
pub use template::{InvalidTemplate, TemplateValues, TopicTemplate};

/// The most UTF-8 bytes a Topic Name or Topic Filter may have [MQTT-4.7.3-3].
pub const MAX_TOPIC_BYTES: usize = 65_535;
