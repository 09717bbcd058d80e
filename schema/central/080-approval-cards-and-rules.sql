-- What an approval decides and what became of it, its cards, and the rules that decide without asking.

ALTER TABLE pending_approvals ADD COLUMN requested_by TEXT;  -- the user whose message led to it; NULL = nobody
ALTER TABLE pending_approvals ADD COLUMN choice TEXT;        -- the value of the button that decided it
ALTER TABLE pending_approvals ADD COLUMN note TEXT;          -- what the person who decided added
ALTER TABLE pending_approvals ADD COLUMN outcome TEXT;       -- JSON: what carrying it out gave, for who asked
ALTER TABLE pending_approvals ADD COLUMN finished_at TEXT;   -- NULL: its effects outside of this file are not done yet
ALTER TABLE pending_approvals ADD COLUMN told_at TEXT;       -- NULL: who asked was not told yet

CREATE TABLE approval_cards (
  approval_id         TEXT NOT NULL REFERENCES pending_approvals (approval_id),
  user_id             TEXT NOT NULL REFERENCES users (id),
  channel_type        TEXT NOT NULL,
  platform_id         TEXT NOT NULL,
  thread_id           TEXT,
  status              TEXT NOT NULL DEFAULT 'pending',  -- pending | sending | unknown | shown | failed
  shows               TEXT NOT NULL DEFAULT '',         -- the status of the approval that the card shows
  platform_message_id TEXT,
  attempts            INTEGER NOT NULL DEFAULT 0,
  next_attempt        TEXT,
  started_at          TEXT,
  error               TEXT,
  PRIMARY KEY (approval_id, user_id)
) WITHOUT ROWID;
CREATE INDEX idx_approval_cards_chat ON approval_cards (channel_type, platform_id);

CREATE TABLE approval_rules (
  rule_id        TEXT PRIMARY KEY,
  agent_group_id TEXT NOT NULL REFERENCES agent_groups (id),
  action         TEXT NOT NULL,
  scope          TEXT NOT NULL,   -- what of this kind is always allowed; the kind says what it means
  created_by     TEXT,            -- a user id; NULL = whoever administers the host
  created_at     TEXT NOT NULL,
  approval_id    TEXT,            -- the approval that made it
  UNIQUE (agent_group_id, action, scope)
);
CREATE INDEX idx_pending_approvals_open ON pending_approvals (status, expires_at);
