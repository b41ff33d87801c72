//! Reason Codes of MQTT 5.0 that hooks answer with. MQTT 3.1.1 clients see the nearest answer their
//! version has.

use crate::ReasonCode;

pub const SUCCESS: ReasonCode = 0x00;
pub const NO_MATCHING_SUBSCRIBERS: ReasonCode = 0x10;
pub const UNSPECIFIED_ERROR: ReasonCode = 0x80;
pub const IMPLEMENTATION_SPECIFIC_ERROR: ReasonCode = 0x83;
pub const CLIENT_IDENTIFIER_NOT_VALID: ReasonCode = 0x85;
pub const BAD_USER_NAME_OR_PASSWORD: ReasonCode = 0x86;
pub const NOT_AUTHORIZED: ReasonCode = 0x87;
pub const SERVER_UNAVAILABLE: ReasonCode = 0x88;
pub const SERVER_BUSY: ReasonCode = 0x89;
pub const BANNED: ReasonCode = 0x8A;
pub const BAD_AUTHENTICATION_METHOD: ReasonCode = 0x8C;
pub const TOPIC_FILTER_INVALID: ReasonCode = 0x8F;
pub const TOPIC_NAME_INVALID: ReasonCode = 0x90;
pub const PACKET_TOO_LARGE: ReasonCode = 0x95;
pub const MESSAGE_RATE_TOO_HIGH: ReasonCode = 0x96;
pub const QUOTA_EXCEEDED: ReasonCode = 0x97;
pub const ADMINISTRATIVE_ACTION: ReasonCode = 0x98;
pub const PAYLOAD_FORMAT_INVALID: ReasonCode = 0x99;
pub const RETAIN_NOT_SUPPORTED: ReasonCode = 0x9A;
pub const QOS_NOT_SUPPORTED: ReasonCode = 0x9B;
pub const USE_ANOTHER_SERVER: ReasonCode = 0x9C;
pub const SERVER_MOVED: ReasonCode = 0x9D;
pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: ReasonCode = 0x9E;
pub const CONNECTION_RATE_EXCEEDED: ReasonCode = 0x9F;
pub const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: ReasonCode = 0xA2;
