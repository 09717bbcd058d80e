CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- Accepted events whose session cannot take them yet. They are replayed after repair.
CREATE TABLE parked_events (
  id         TEXT PRIMARY KEY,
  session_id TEXT REFERENCES sessions (id),
  event      TEXT NOT NULL,                   -- JSON, whole
  reason     TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX idx_parked_events_session ON parked_events (session_id);
