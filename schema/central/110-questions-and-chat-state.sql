-- Who may answer a question, how, until when, and what its card shows; and the state of channels.

ALTER TABLE pending_questions ADD COLUMN question TEXT NOT NULL DEFAULT '';
ALTER TABLE pending_questions ADD COLUMN who TEXT NOT NULL DEFAULT 'member';      -- asker | member | admin
ALTER TABLE pending_questions ADD COLUMN asker TEXT;                              -- a user id, if who = 'asker'
ALTER TABLE pending_questions ADD COLUMN multiple INTEGER NOT NULL DEFAULT 0;     -- 1: several options may be chosen
ALTER TABLE pending_questions ADD COLUMN free_text INTEGER NOT NULL DEFAULT 0;    -- 1: a text is an answer, too
ALTER TABLE pending_questions ADD COLUMN expires_at TEXT;                         -- NULL = never
ALTER TABLE pending_questions ADD COLUMN chosen_json TEXT NOT NULL DEFAULT '[]';  -- values that are chosen so far
ALTER TABLE pending_questions ADD COLUMN clicks_json TEXT NOT NULL DEFAULT '[]';  -- ids of the newest clicks
ALTER TABLE pending_questions ADD COLUMN version INTEGER NOT NULL DEFAULT 0;      -- of chosen_json
ALTER TABLE pending_questions ADD COLUMN shown_version INTEGER NOT NULL DEFAULT 0; -- the version that the card shows
ALTER TABLE pending_questions ADD COLUMN platform_message_id TEXT;                -- the card; NULL = not shown, or no id

CREATE INDEX idx_pending_questions_expiry ON pending_questions (expires_at);
CREATE INDEX idx_pending_questions_age ON pending_questions (created_at);
CREATE INDEX idx_pending_questions_card ON pending_questions (created_at) WHERE version > shown_version;

CREATE TABLE closed_questions (
  question_id         TEXT PRIMARY KEY,
  message_out_id      TEXT NOT NULL,
  channel_type        TEXT,
  platform_id         TEXT,
  thread_id           TEXT,
  closed_at           TEXT NOT NULL,
  how                 TEXT NOT NULL,             -- answered | expired | withdrawn
  by_user             TEXT,                      -- who answered
  answer              TEXT NOT NULL DEFAULT '',  -- the answer, for people
  card                TEXT,                      -- the text that the card has yet to show; NULL = none
  platform_message_id TEXT
) WITHOUT ROWID;
CREATE INDEX idx_closed_questions_age ON closed_questions (closed_at);
CREATE INDEX idx_closed_questions_card ON closed_questions (closed_at) WHERE card IS NOT NULL;

-- The state of channels. Keys and threads begin with the quoted name of their channel and a colon.
ALTER TABLE chat_sdk_kv ADD COLUMN set_at INTEGER;    -- unix ms, like expires_at; NULL = unknown
ALTER TABLE chat_sdk_lists ADD COLUMN set_at INTEGER;
ALTER TABLE chat_sdk_locks ADD COLUMN set_at INTEGER;
ALTER TABLE chat_sdk_locks ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;  -- grows with each lock that is taken

CREATE INDEX idx_chat_sdk_kv_age ON chat_sdk_kv (set_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_chat_sdk_lists_age ON chat_sdk_lists (set_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_chat_sdk_kv_expiry ON chat_sdk_kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_chat_sdk_lists_expiry ON chat_sdk_lists (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_chat_sdk_locks_expiry ON chat_sdk_locks (expires_at);
