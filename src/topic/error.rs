//! Why a string is no Topic Name or Topic Filter. Always the fault of whoever wrote the string.

use thiserror::Error;

/// A string that MQTT does not allow as a Topic Name or Topic Filter.
///
/// Numbers of statements are those of MQTT 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTopic {
    #[error("it is empty [MQTT-4.7.3-1]")]
    Empty,
    #[error("it contains the null character U+0000 [MQTT-4.7.3-2]")]
    NullCharacter,
    #[error("it has {0} bytes and 65535 are allowed [MQTT-4.7.3-3]")]
    TooLong(usize),
    #[error("it is a Topic Name and contains a wildcard character [MQTT-4.7.0-1]")]
    WildcardInName,
    #[error("`#` is not alone in its level or not in the last level [MQTT-4.7.1-1]")]
    MultiLevelWildcard,
    #[error("`+` does not occupy an entire level [MQTT-4.7.1-2]")]
    SingleLevelWildcard,
    #[error("the ShareName after `$share/` is empty [MQTT-4.8.2-1]")]
    EmptyShareName,
    #[error("the ShareName contains `+` or `#` [MQTT-4.8.2-2]")]
    WildcardInShareName,
    #[error("the ShareName is not followed by `/` and a Topic Filter [MQTT-4.8.2-2]")]
    NoFilterAfterShareName,
}

impl InvalidTopic {
    /// The normative statement that the string breaks, in the numbering of MQTT 5.0.
    pub fn statement(self) -> &'static str {
        match self {
            Self::Empty => "MQTT-4.7.3-1",
            Self::NullCharacter => "MQTT-4.7.3-2",
            Self::TooLong(_) => "MQTT-4.7.3-3",
            Self::WildcardInName => "MQTT-4.7.0-1",
            Self::MultiLevelWildcard => "MQTT-4.7.1-1",
            Self::SingleLevelWildcard => "MQTT-4.7.1-2",
            Self::EmptyShareName => "MQTT-4.8.2-1",
            Self::WildcardInShareName | Self::NoFilterAfterShareName => "MQTT-4.8.2-2",
        }
    }
}
