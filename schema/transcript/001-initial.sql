-- The transcript of an HTTP channel: <data>/channels/<name>/transcript.db. Only the channel writes it.
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of all chats; clients resume after it
  chat TEXT NOT NULL,
  thread TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,                    -- user, message, card, or a change: edit, card_edit, reaction
  message_id TEXT NOT NULL,              -- the message, or the message that is changed
  key TEXT NOT NULL,                     -- the idempotency key of the entry
  author TEXT NOT NULL DEFAULT '',
  in_reply_to TEXT,
  content TEXT NOT NULL,                 -- JSON; of a message as it is now
  created_at TEXT NOT NULL,
  accepted INTEGER NOT NULL DEFAULT 1,   -- 0 while the host has not confirmed a user's message
  UNIQUE (chat, key)
);

CREATE INDEX idx_entries_chat ON entries (chat, seq);
CREATE INDEX idx_entries_message ON entries (message_id);

-- Requests with an idempotency key, for as long as they may be repeated.
CREATE TABLE requests (
  user TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  answer TEXT,                           -- JSON; NULL while the request is not answered
  created_at TEXT NOT NULL,
  PRIMARY KEY (user, key)
);

-- The files that agents sent. The content is beside the database, under the id.
CREATE TABLE files (
  id TEXT PRIMARY KEY,
  chat TEXT NOT NULL,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,
  created_at TEXT NOT NULL
);

-- The addresses that are told of the answers to a message.
CREATE TABLE callbacks (
  message_id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  created_at TEXT NOT NULL
);

-- The entries that an address has not confirmed.
CREATE TABLE callback_queue (
  seq INTEGER NOT NULL,
  url TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at TEXT NOT NULL,
  PRIMARY KEY (seq, url)
);
