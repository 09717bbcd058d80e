-- outbound.db: written only by the session's runner. The host reads it through a guard (docs/contract.md 4, 6).

CREATE TABLE messages_out (
  id            TEXT PRIMARY KEY,
  seq           INTEGER UNIQUE,              -- odd: the runner's parity
  in_reply_to   TEXT,
  timestamp     TEXT NOT NULL,
  deliver_after TEXT,
  recurrence    TEXT,
  kind          TEXT NOT NULL,
  platform_id   TEXT,
  channel_type  TEXT,
  thread_id     TEXT,
  content       TEXT NOT NULL,               -- JSON
  turn_id       TEXT
);
CREATE INDEX idx_messages_out_turn ON messages_out (turn_id);

-- The runner's claims and outcomes of inbound messages. It never writes inbound.db.
CREATE TABLE processing_ack (
  message_id     TEXT PRIMARY KEY,
  status         TEXT NOT NULL,              -- processing | completed | failed | released
  status_changed TEXT NOT NULL,
  attempt        INTEGER,                    -- messages_in.tries at the claim
  retry_at       TEXT,
  error          TEXT,
  turn_id        TEXT                        -- the turn that claimed it
);

CREATE TABLE session_state (
  key        TEXT PRIMARY KEY,
  value      TEXT NOT NULL,
  updated_at TEXT NOT NULL
);

CREATE TABLE container_state (
  id                       INTEGER PRIMARY KEY CHECK (id = 1),
  current_tool             TEXT,
  tool_declared_timeout_ms INTEGER,
  tool_started_at          TEXT,
  updated_at               TEXT                -- NOT NULL in other builds, whose runners write it
);

-- Events for people to read; the newest 10,000.
CREATE TABLE events (
  id         INTEGER PRIMARY KEY,
  at         TEXT NOT NULL,
  kind       TEXT NOT NULL,
  message_id TEXT,
  data       TEXT
);

-- The runner's own marks, such as the high-water mark of seq. /clear keeps them, unlike the agent's state.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT
);
