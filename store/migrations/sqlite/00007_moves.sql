-- +goose Up
-- The proxies that run on this store. One that has ended without a word stays until it is purged.
CREATE TABLE proxies (
    id         TEXT PRIMARY KEY,
    region     TEXT NOT NULL, -- '' is none
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL, -- by the proxy's clock, for people
    beat       INTEGER NOT NULL, -- grows each time that it is heard of
    applied    INTEGER NOT NULL  -- the number of the last change that it has taken over
) STRICT;

-- The instances that are on their way to another backend.
CREATE TABLE moves (
    instance_id TEXT PRIMARY KEY,
    token       TEXT NOT NULL UNIQUE, -- of who moves it
    target      TEXT NOT NULL UNIQUE, -- the address that it is on its way to
    beat        INTEGER NOT NULL, -- grows each time that the mover is heard of
    holding     INTEGER NOT NULL, -- 1: writes are to wait
    begun_at    INTEGER NOT NULL
) STRICT;

-- What proxies have said of moves.
CREATE TABLE move_reports (
    token    TEXT NOT NULL,
    proxy_id TEXT NOT NULL,
    holding  INTEGER NOT NULL, -- 1: writes wait there, and none is under way
    PRIMARY KEY (token, proxy_id)
) STRICT;

-- +goose Down
DROP TABLE move_reports;
DROP TABLE moves;
DROP TABLE proxies;
