-- Number of attempts of a delivery whose outcome is unknown. The channel's policy limits only these.

ALTER TABLE deliveries ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET doubts = 1 WHERE status = 'unknown';
