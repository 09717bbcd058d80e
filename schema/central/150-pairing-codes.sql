-- The one-time codes by which an owner shows who they are on a chat network, and who has tried wrong ones.

CREATE TABLE pairing_codes (
  channel_type TEXT PRIMARY KEY,  -- a new code replaces the one before
  code_hash    TEXT NOT NULL,     -- of the code with the salt; the code itself is stored nowhere
  salt         TEXT NOT NULL,
  person       TEXT NOT NULL,     -- the identity that the sender of the code is linked to
  folder       TEXT NOT NULL,     -- of the agent that answers in their direct chat
  created_at   TEXT NOT NULL,
  expires_at   TEXT NOT NULL,
  used_by      TEXT,              -- a user id; NULL = nobody yet
  used_at      TEXT,
  platform_id  TEXT,              -- the direct chat in which it was used
  answer       TEXT,              -- what that chat has yet to be told; NULL = nothing
  wrong        INTEGER NOT NULL DEFAULT 0  -- wrong codes of all users
) WITHOUT ROWID;

CREATE TABLE pairing_tries (
  channel_type TEXT NOT NULL REFERENCES pairing_codes (channel_type),
  user_id      TEXT NOT NULL,
  wrong        INTEGER NOT NULL,
  PRIMARY KEY (channel_type, user_id)
) WITHOUT ROWID;
