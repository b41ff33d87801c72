CREATE TABLE IF NOT EXISTS {}broker (
    id BIGINT UNSIGNED PRIMARY KEY,
    alive BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}session (
    number BIGINT UNSIGNED PRIMARY KEY,
    client_identifier MEDIUMBLOB NOT NULL,
    user_name MEDIUMBLOB,
    listener MEDIUMBLOB NOT NULL,
    default_authorization TINYINT UNSIGNED NOT NULL,
    protocol_version TINYINT UNSIGNED NOT NULL,
    expiry_interval INT UNSIGNED NOT NULL,
    expires_at BIGINT UNSIGNED,
    is_connected TINYINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}subscription (
    session BIGINT UNSIGNED NOT NULL,
    id BINARY(16) NOT NULL,
    filter MEDIUMBLOB NOT NULL,
    routed MEDIUMBLOB,
    options TINYINT UNSIGNED NOT NULL,
    identifier INT UNSIGNED,
    PRIMARY KEY (session, id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}received (
    session BIGINT UNSIGNED NOT NULL,
    packet_identifier SMALLINT UNSIGNED NOT NULL,
    PRIMARY KEY (session, packet_identifier)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}item (
    session BIGINT UNSIGNED NOT NULL,
    id BINARY(16) NOT NULL,
    name MEDIUMBLOB NOT NULL,
    value LONGBLOB NOT NULL,
    PRIMARY KEY (session, id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}will (
    number BIGINT UNSIGNED PRIMARY KEY,
    client_identifier MEDIUMBLOB NOT NULL,
    user_name MEDIUMBLOB,
    listener MEDIUMBLOB NOT NULL,
    default_authorization TINYINT UNSIGNED NOT NULL,
    protocol_version TINYINT UNSIGNED NOT NULL,
    delay_interval INT UNSIGNED NOT NULL,
    due BIGINT UNSIGNED,
    body LONGBLOB NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}message (
    number BIGINT UNSIGNED PRIMARY KEY,
    body LONGBLOB NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}delivery (
    number BIGINT UNSIGNED PRIMARY KEY,
    session BIGINT UNSIGNED NOT NULL,
    message BIGINT UNSIGNED NOT NULL,
    options TINYINT UNSIGNED NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    packet_identifier SMALLINT UNSIGNED,
    subscription_identifiers LONGBLOB,
    shared MEDIUMBLOB
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}retained (
    id BINARY(16) PRIMARY KEY,
    topic MEDIUMBLOB NOT NULL,
    body LONGBLOB NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {}plugin_state (
    id BINARY(16) PRIMARY KEY,
    plugin MEDIUMBLOB NOT NULL,
    name MEDIUMBLOB NOT NULL,
    value LONGBLOB NOT NULL,
    expires_at BIGINT UNSIGNED
) ENGINE = InnoDB;
