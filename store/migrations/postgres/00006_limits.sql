-- +goose Up
ALTER TABLE organizations ADD COLUMN byte_rate BIGINT NOT NULL DEFAULT 0; -- bytes per second; 0 is unlimited
ALTER TABLE organizations ADD COLUMN limit_mode TEXT NOT NULL DEFAULT ''; -- '' follows the proxy's, as for keys
ALTER TABLE api_keys ADD COLUMN byte_rate BIGINT; -- NULL follows the proxy's
ALTER TABLE api_keys ADD COLUMN limit_mode TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN cache_bytes BIGINT NOT NULL DEFAULT 0; -- 0 is no cache

-- +goose Down
ALTER TABLE instances DROP COLUMN cache_bytes;
ALTER TABLE api_keys DROP COLUMN limit_mode;
ALTER TABLE api_keys DROP COLUMN byte_rate;
ALTER TABLE organizations DROP COLUMN limit_mode;
ALTER TABLE organizations DROP COLUMN byte_rate;
