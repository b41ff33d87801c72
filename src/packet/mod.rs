//! The Control Packets of MQTT 3.1.1 and 5.0 and their encoding.
