-- +goose Up
-- What managing many organizations by many people needs. Deleted organizations and instances
-- stay until they are purged, under a name that frees theirs: '~' and their id.
ALTER TABLE organizations ADD COLUMN deleted_name TEXT;
ALTER TABLE organizations ADD COLUMN deleted_at INTEGER;
ALTER TABLE organizations ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE organizations ADD COLUMN max_instances INTEGER NOT NULL DEFAULT 0; -- 0 is unlimited, as for all that follow
ALTER TABLE organizations ADD COLUMN max_keys INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_members INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;

ALTER TABLE instances ADD COLUMN deleted_name TEXT;
ALTER TABLE instances ADD COLUMN deleted_at INTEGER;
ALTER TABLE instances ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

ALTER TABLE api_keys ADD COLUMN previous_hash BLOB; -- NULL: no rotation with an overlap
ALTER TABLE api_keys ADD COLUMN previous_until INTEGER;
ALTER TABLE api_keys ADD COLUMN audit TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

ALTER TABLE changes ADD COLUMN session TEXT; -- a client's session that is to end

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE, -- in lower case
    name          TEXT NOT NULL,
    operator      INTEGER NOT NULL, -- 0 or 1
    password_hash TEXT NOT NULL, -- argon2id; '' is none
    version       INTEGER NOT NULL DEFAULT 1,
    created_at    INTEGER NOT NULL,
    disabled_at   INTEGER
) STRICT;

CREATE TABLE memberships (
    org_id     TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    secret_hash  BLOB NOT NULL,
    rate         INTEGER NOT NULL DEFAULT 0,
    burst        INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX tokens_user ON tokens (user_id);

-- Append-only: nothing updates it, and only what is older than is to be kept is deleted. It names what may be gone.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    token_id   TEXT NOT NULL,
    address    TEXT NOT NULL,
    action     TEXT NOT NULL,
    org_id     TEXT NOT NULL,
    org        TEXT NOT NULL,
    target     TEXT NOT NULL,
    target_id  TEXT NOT NULL,
    name       TEXT NOT NULL,
    before     TEXT, -- JSON, as after
    after      TEXT,
    outcome    TEXT NOT NULL,
    detail     TEXT NOT NULL
) STRICT;
CREATE INDEX audit_org ON audit (org_id, seq);
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_actor ON audit (actor_id, seq);
CREATE INDEX audit_target ON audit (target_id, seq);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE usage (
    key_id      TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL, -- the minute's beginning
    commands    INTEGER NOT NULL,
    errors      INTEGER NOT NULL,
    limited     INTEGER NOT NULL,
    bytes_in    INTEGER NOT NULL,
    bytes_out   INTEGER NOT NULL,
    PRIMARY KEY (key_id, at, instance_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_instance ON usage (instance_id, at);
CREATE INDEX usage_at ON usage (at);

-- Answers to creations that may be asked for again, sealed since they may have secrets.
CREATE TABLE idempotency (
    owner      TEXT NOT NULL, -- who asked: a token's or a user's id
    key        TEXT NOT NULL,
    request    BLOB NOT NULL, -- SHA-256 of what was asked
    answer     BLOB, -- NULL while it is being done
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE usage;
DROP TABLE audit;
DROP TABLE tokens;
DROP TABLE memberships;
DROP TABLE users;
ALTER TABLE changes DROP COLUMN session;
ALTER TABLE api_keys DROP COLUMN version;
ALTER TABLE api_keys DROP COLUMN last_used_at;
ALTER TABLE api_keys DROP COLUMN audit;
ALTER TABLE api_keys DROP COLUMN previous_until;
ALTER TABLE api_keys DROP COLUMN previous_hash;
-- What is deleted goes for good, and nothing that refers to it is left.
UPDATE instances SET deleted_at = 0 WHERE org_id IN (SELECT id FROM organizations WHERE deleted_at IS NOT NULL);
DELETE FROM key_instances WHERE key_id IN (SELECT ki.key_id FROM key_instances ki JOIN instances i ON i.id = ki.instance_id WHERE ki.position = 0 AND i.deleted_at IS NOT NULL);
DELETE FROM key_instances WHERE instance_id IN (SELECT id FROM instances WHERE deleted_at IS NOT NULL);
DELETE FROM api_keys WHERE id NOT IN (SELECT key_id FROM key_instances);
DELETE FROM instances WHERE deleted_at IS NOT NULL;
ALTER TABLE instances DROP COLUMN version;
ALTER TABLE instances DROP COLUMN deleted_at;
ALTER TABLE instances DROP COLUMN deleted_name;
DELETE FROM organizations WHERE deleted_at IS NOT NULL;
ALTER TABLE organizations DROP COLUMN burst;
ALTER TABLE organizations DROP COLUMN rate;
ALTER TABLE organizations DROP COLUMN max_members;
ALTER TABLE organizations DROP COLUMN max_keys;
ALTER TABLE organizations DROP COLUMN max_instances;
ALTER TABLE organizations DROP COLUMN version;
ALTER TABLE organizations DROP COLUMN deleted_at;
ALTER TABLE organizations DROP COLUMN deleted_name;
