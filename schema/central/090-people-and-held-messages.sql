-- The identities of a person, the messages that wait until their sender or chat is let in, and who is not.

-- Identities without a row are a person each. A person is named by one of their identities, which has a row, too.
CREATE TABLE user_links (
  user_id   TEXT PRIMARY KEY REFERENCES users (id),
  person_id TEXT NOT NULL REFERENCES users (id),
  linked_by TEXT,             -- a user id; NULL = whoever administers the host
  linked_at TEXT NOT NULL
);
CREATE INDEX idx_user_links_person ON user_links (person_id);

CREATE TABLE held_messages (
  id                 INTEGER PRIMARY KEY,   -- in the order in which they came
  message_id         TEXT NOT NULL UNIQUE,  -- the id that the message gets in messages_in
  messaging_group_id TEXT NOT NULL REFERENCES messaging_groups (id),
  user_id            TEXT NOT NULL REFERENCES users (id),
  event              TEXT NOT NULL,         -- JSON, whole
  bytes              INTEGER NOT NULL,
  agents             TEXT NOT NULL,         -- JSON: the agent groups that wait for it; empty = the chat has none yet
  held_at            TEXT NOT NULL
);
CREATE INDEX idx_held_messages_sender ON held_messages (messaging_group_id, user_id);

-- Senders of a chat, or whole chats (user_id NULL), that were rejected or blocked.
CREATE TABLE refusals (
  messaging_group_id TEXT NOT NULL REFERENCES messaging_groups (id),
  user_id            TEXT REFERENCES users (id),
  status             TEXT NOT NULL,   -- rejected | blocked
  until              TEXT,            -- NULL = until it is lifted
  decided_by         TEXT,            -- a user id; NULL = whoever administers the host
  decided_at         TEXT NOT NULL,
  approval_id        TEXT
);
CREATE UNIQUE INDEX idx_refusals_sender ON refusals (messaging_group_id, coalesce(user_id, ''));
