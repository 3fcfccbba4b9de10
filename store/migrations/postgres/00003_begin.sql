-- +goose Up
-- What SQLite's tables are after their third migration: from here on both go together.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE organizations (
    id              TEXT PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    max_connections BIGINT NOT NULL DEFAULT 0, -- 0 is unlimited
    created_at      BIGINT NOT NULL -- milliseconds since 1970, as all times here
);

CREATE TABLE instances (
    id         TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name       TEXT COLLATE "C" NOT NULL,
    url        BYTEA NOT NULL, -- sealed
    created_at BIGINT NOT NULL,
    UNIQUE (org_id, name)
);

CREATE TABLE api_keys (
    id               TEXT PRIMARY KEY,
    org_id           TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT COLLATE "C" NOT NULL,
    secret_hash      BYTEA NOT NULL,
    rate             BIGINT, -- NULL follows the proxy's default
    burst            BIGINT,
    resets           BIGINT NOT NULL DEFAULT 0,
    commands         TEXT NOT NULL,
    max_connections  BIGINT NOT NULL DEFAULT 0,
    allow_from       TEXT NOT NULL DEFAULT '', -- networks, with commas between them
    certificate_name TEXT, -- of a client certificate that opens the key
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT,
    revoked_at       BIGINT
);
CREATE INDEX api_keys_org ON api_keys (org_id);
CREATE UNIQUE INDEX api_keys_certificate ON api_keys (certificate_name) WHERE revoked_at IS NULL;

-- The instances that a key opens; position 0 is its own.
CREATE TABLE key_instances (
    key_id      TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE RESTRICT,
    position    BIGINT NOT NULL,
    PRIMARY KEY (key_id, instance_id)
);
CREATE INDEX key_instances_instance ON key_instances (instance_id);

-- What has changed, for proxies to follow: a key, or an instance that is gone.
CREATE TABLE changes (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id  TEXT,
    deleted TEXT -- the instance's label
);

-- +goose Down
DROP TABLE changes;
DROP TABLE key_instances;
DROP TABLE api_keys;
DROP TABLE instances;
DROP TABLE organizations;
DROP TABLE settings;
