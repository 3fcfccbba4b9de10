-- +goose Up
-- The name of a client certificate that opens the key.
ALTER TABLE api_keys ADD COLUMN certificate_name TEXT;
CREATE UNIQUE INDEX api_keys_certificate ON api_keys (certificate_name) WHERE revoked_at IS NULL;

-- +goose Down
DROP INDEX api_keys_certificate;
ALTER TABLE api_keys DROP COLUMN certificate_name;
