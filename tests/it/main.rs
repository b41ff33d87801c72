//! The integration tests: what a broker does, seen by its clients.
//!
//! One binary, one module per subject. Most tests start a server on a free port and talk to it in packets;
//! where time matters they serve connections in memory, with tokio's time paused.

#[path = "../support/mod.rs"]
mod support;

mod abilities;
mod alias;
mod architecture;
mod authenticate;
#[cfg(feature = "bridge")]
mod bridge;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_ways;
mod conformance;
mod connack;
mod connect;
mod crossing;
mod disconnect;
mod durability;
mod durable_wills;
mod events;
mod examples;
mod fairness;
mod flow_control;
mod from_mqttnet;
mod fuzz_corpus;
mod guards;
mod histories;
mod hook_connect;
mod hook_publish;
mod hook_subscribe;
mod hook_together;
mod in_flight;
mod keep_alive;
mod known_faults;
mod limits;
mod malformed;
mod one_go;
mod outgoing_alias;
mod packet_size;
mod payload_format;
mod problem_information;
mod properties;
mod qos;
mod real_clients;
mod reason_codes;
mod reauthenticate;
mod replay;
mod resume;
mod retained;
mod session;
mod shared;
mod shared_hand_on;
mod shutdown;
mod slow_reader;
mod statistics;
mod storage;
mod stuck;
mod subscribe;
mod subscribe_again;
mod system_topics;
mod takeover;
mod transport;
mod unsent;
mod unsubscribe;
#[cfg(feature = "wasm")]
mod wasm;
mod will;
