-- +goose Up
-- What managing many organizations by many people needs. Deleted organizations and instances
-- stay until they are purged, under a name that frees theirs: '~' and their id.
ALTER TABLE organizations ADD COLUMN deleted_name TEXT;
ALTER TABLE organizations ADD COLUMN deleted_at BIGINT;
ALTER TABLE organizations ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE organizations ADD COLUMN max_instances BIGINT NOT NULL DEFAULT 0; -- 0 is unlimited, as for all that follow
ALTER TABLE organizations ADD COLUMN max_keys BIGINT NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN max_members BIGINT NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN rate BIGINT NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN burst BIGINT NOT NULL DEFAULT 0;

ALTER TABLE instances ADD COLUMN deleted_name TEXT;
ALTER TABLE instances ADD COLUMN deleted_at BIGINT;
ALTER TABLE instances ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

ALTER TABLE api_keys ADD COLUMN previous_hash BYTEA; -- NULL: no rotation with an overlap
ALTER TABLE api_keys ADD COLUMN previous_until BIGINT;
ALTER TABLE api_keys ADD COLUMN audit TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
ALTER TABLE api_keys ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

ALTER TABLE changes ADD COLUMN session TEXT; -- a client's session that is to end

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    email         TEXT COLLATE "C" NOT NULL UNIQUE, -- in lower case
    name          TEXT NOT NULL,
    operator      BIGINT NOT NULL, -- 0 or 1
    password_hash TEXT NOT NULL, -- argon2id; '' is none
    version       BIGINT NOT NULL DEFAULT 1,
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT
);

CREATE TABLE memberships (
    org_id     TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    secret_hash  BYTEA NOT NULL,
    rate         BIGINT NOT NULL DEFAULT 0,
    burst        BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id);

-- Append-only: nothing updates it, and only what is older than is to be kept is deleted. It names what may be gone.
CREATE TABLE audit (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
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
);
CREATE INDEX audit_org ON audit (org_id, seq);
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_actor ON audit (actor_id, seq);
CREATE INDEX audit_target ON audit (target_id, seq);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE usage (
    key_id      TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    at          BIGINT NOT NULL, -- the minute's beginning
    commands    BIGINT NOT NULL,
    errors      BIGINT NOT NULL,
    limited     BIGINT NOT NULL,
    bytes_in    BIGINT NOT NULL,
    bytes_out   BIGINT NOT NULL,
    PRIMARY KEY (key_id, at, instance_id)
);
CREATE INDEX usage_instance ON usage (instance_id, at);
CREATE INDEX usage_at ON usage (at);

-- Answers to creations that may be asked for again, sealed since they may have secrets.
CREATE TABLE idempotency (
    owner      TEXT NOT NULL, -- who asked: a token's or a user's id
    key        TEXT NOT NULL,
    request    BYTEA NOT NULL, -- SHA-256 of what was asked
    answer     BYTEA, -- NULL while it is being done
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, key)
);
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
