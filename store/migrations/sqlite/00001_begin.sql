-- +goose Up
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE organizations (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL -- milliseconds since 1970, as all times here
) STRICT;

CREATE TABLE instances (
    id         TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    url        BLOB NOT NULL, -- sealed
    created_at INTEGER NOT NULL,
    UNIQUE (org_id, name)
) STRICT;

CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY,
    org_id      TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    rate        INTEGER, -- NULL follows the proxy's default
    burst       INTEGER,
    resets      INTEGER NOT NULL DEFAULT 0,
    commands    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX api_keys_org ON api_keys (org_id);

-- The instances that a key opens; position 0 is its own.
CREATE TABLE key_instances (
    key_id      TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE RESTRICT,
    position    INTEGER NOT NULL,
    PRIMARY KEY (key_id, instance_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_instances_instance ON key_instances (instance_id);

-- What has changed, for proxies to follow: a key, or an instance that is gone.
CREATE TABLE changes (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id  TEXT,
    deleted TEXT -- the instance's label
) STRICT;

-- +goose Down
DROP TABLE changes;
DROP TABLE key_instances;
DROP TABLE api_keys;
DROP TABLE instances;
DROP TABLE organizations;
DROP TABLE settings;
