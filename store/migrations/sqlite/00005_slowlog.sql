-- +goose Up
ALTER TABLE instances ADD COLUMN slowlog_threshold_us INTEGER; -- NULL follows the proxy's, -1 is none

-- +goose Down
ALTER TABLE instances DROP COLUMN slowlog_threshold_us;
