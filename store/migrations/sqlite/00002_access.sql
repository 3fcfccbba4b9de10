-- +goose Up
ALTER TABLE organizations ADD COLUMN max_connections INTEGER NOT NULL DEFAULT 0; -- 0 is unlimited
ALTER TABLE api_keys ADD COLUMN max_connections INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN allow_from TEXT NOT NULL DEFAULT ''; -- networks, with commas between them

-- +goose Down
ALTER TABLE api_keys DROP COLUMN allow_from;
ALTER TABLE api_keys DROP COLUMN max_connections;
ALTER TABLE organizations DROP COLUMN max_connections;
