-- inbound.db: written by the host, mounted read-only in the container (docs/contract.md 4).

CREATE TABLE messages_in (
  id                TEXT PRIMARY KEY,
  seq               INTEGER UNIQUE,          -- even: the host's parity
  kind              TEXT NOT NULL,           -- chat | chat-sdk | task | webhook | system
  timestamp         TEXT NOT NULL,
  status            TEXT DEFAULT 'pending',  -- pending | completed | failed | paused (tasks)
  process_after     TEXT,                    -- not due before; empty = at once
  recurrence        TEXT,                    -- cron expression or @every <seconds>; the open occurrence only
  series_id         TEXT,
  tries             INTEGER DEFAULT 0,
  platform_id       TEXT,
  channel_type      TEXT,
  thread_id         TEXT,
  content           TEXT NOT NULL,           -- JSON
  trigger           INTEGER NOT NULL DEFAULT 1,  -- 0 = context: stored, wakes nobody
  on_wake           INTEGER NOT NULL DEFAULT 0,  -- 1 = only for a fresh runner's first look
  source_session_id TEXT,
  slot              TEXT,
  zone              TEXT,
  catch_up          TEXT,                    -- skip | all | none
  causation_id      TEXT,
  hops              INTEGER
);
CREATE INDEX idx_messages_in_series ON messages_in (series_id);
CREATE UNIQUE INDEX idx_messages_in_slot ON messages_in (series_id, slot);
-- Pending rows are read at every wake, beside perhaps 100,000 finished ones.
CREATE INDEX idx_messages_in_pending ON messages_in (seq) WHERE status = 'pending';

-- Only final outcomes.
CREATE TABLE delivered (
  message_out_id      TEXT PRIMARY KEY,
  platform_message_id TEXT,
  status              TEXT NOT NULL DEFAULT 'delivered',  -- delivered | failed
  delivered_at        TEXT NOT NULL
);

-- The delivery ledger: an attempt is recorded here before the channel is asked.
CREATE TABLE deliveries (
  message_out_id TEXT PRIMARY KEY,
  seq            INTEGER,
  status         TEXT NOT NULL,              -- pending | sending | unknown | final
  attempts       INTEGER NOT NULL DEFAULT 0,
  next_attempt   TEXT,
  started_at     TEXT,
  error          TEXT
);
CREATE INDEX idx_deliveries_open ON deliveries (seq) WHERE status <> 'final';

-- Projections of the central database, replaced as a whole at every wake.
CREATE TABLE destinations (
  name           TEXT PRIMARY KEY,
  display_name   TEXT,
  type           TEXT NOT NULL,              -- channel | agent
  channel_type   TEXT,
  platform_id    TEXT,
  agent_group_id TEXT
);

CREATE TABLE session_routing (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  channel_type TEXT,
  platform_id  TEXT,
  thread_id    TEXT
);

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT
);
