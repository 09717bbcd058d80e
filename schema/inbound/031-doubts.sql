-- How many attempts of a delivery had an outcome that nobody knows: the channel's policy limits these alone.

ALTER TABLE deliveries ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET doubts = 1 WHERE status = 'unknown';
