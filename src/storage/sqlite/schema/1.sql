-- Numbers that may exceed 63 bits (moments) are the same bits with a sign. Options: record.rs.

CREATE TABLE broker (
    id INTEGER PRIMARY KEY,
    alive INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    client_identifier TEXT NOT NULL,
    user_name TEXT,
    listener TEXT NOT NULL,
    default_authorization INTEGER NOT NULL,
    protocol_version INTEGER NOT NULL,
    expiry_interval INTEGER NOT NULL,
    expires_at INTEGER,
    is_connected INTEGER NOT NULL
) STRICT;

CREATE TABLE subscription (
    session INTEGER NOT NULL,
    filter TEXT NOT NULL,
    routed TEXT,
    options INTEGER NOT NULL,
    identifier INTEGER,
    PRIMARY KEY (session, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE received (
    session INTEGER NOT NULL,
    packet_identifier INTEGER NOT NULL,
    PRIMARY KEY (session, packet_identifier)
) STRICT, WITHOUT ROWID;

CREATE TABLE item (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (session, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE will (
    number INTEGER PRIMARY KEY,
    client_identifier TEXT NOT NULL,
    user_name TEXT,
    listener TEXT NOT NULL,
    default_authorization INTEGER NOT NULL,
    protocol_version INTEGER NOT NULL,
    delay_interval INTEGER NOT NULL,
    due INTEGER,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE delivery (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    message INTEGER NOT NULL,
    options INTEGER NOT NULL,
    state INTEGER NOT NULL,
    packet_identifier INTEGER,
    subscription_identifiers BLOB,
    shared TEXT
) STRICT;

CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plugin_state (
    plugin TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;
