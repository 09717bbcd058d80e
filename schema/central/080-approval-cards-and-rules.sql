-- What an approval decides and what became of it, its cards, and the rules that decide without asking.

ALTER TABLE pending_approvals ADD COLUMN text TEXT NOT NULL DEFAULT '';  -- what will be done, as the card shows it
ALTER TABLE pending_approvals ADD COLUMN same TEXT;          -- equal open requests of an agent and action are one
ALTER TABLE pending_approvals ADD COLUMN scope TEXT;         -- what an "always allow" allows; NULL = not offered
ALTER TABLE pending_approvals ADD COLUMN requested_by TEXT;  -- the user whose message led to it; NULL = nobody
ALTER TABLE pending_approvals ADD COLUMN choice TEXT;        -- the value of the button that decided it
ALTER TABLE pending_approvals ADD COLUMN note TEXT;          -- what the person who decided added
ALTER TABLE pending_approvals ADD COLUMN outcome TEXT;       -- JSON: what carrying it out gave, for who asked
ALTER TABLE pending_approvals ADD COLUMN finished_at TEXT;   -- NULL: its effects outside of this file are not done yet
ALTER TABLE pending_approvals ADD COLUMN told_at TEXT;       -- NULL: who asked was not told yet

CREATE TABLE approval_cards (
  approval_id         TEXT NOT NULL REFERENCES pending_approvals (approval_id) ON DELETE CASCADE,
  user_id             TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  channel_type        TEXT NOT NULL,
  platform_id         TEXT NOT NULL,
  thread_id           TEXT,
  status              TEXT NOT NULL DEFAULT 'pending',  -- pending | sending | unknown | shown | failed
  shows               TEXT NOT NULL DEFAULT '',         -- the status of the approval that the card shows
  platform_message_id TEXT,
  attempts            INTEGER NOT NULL DEFAULT 0,
  next_attempt        TEXT,
  doubts              INTEGER NOT NULL DEFAULT 0,
  started_at          TEXT,
  error               TEXT,
  code                TEXT NOT NULL DEFAULT '',         -- what a written answer must end with
  PRIMARY KEY (approval_id, user_id)
) WITHOUT ROWID;
CREATE INDEX idx_approval_cards_chat ON approval_cards (channel_type, platform_id);

-- The sessions that are told the outcome. The first is that of the request; others asked for the same.
CREATE TABLE approval_askers (
  approval_id  TEXT NOT NULL REFERENCES pending_approvals (approval_id) ON DELETE CASCADE,
  session_id   TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  request_id   TEXT,             -- the outbound row that asked
  channel_type TEXT,             -- the chat that was being answered
  platform_id  TEXT,
  thread_id    TEXT,
  told_at      TEXT,
  PRIMARY KEY (approval_id, session_id)
) WITHOUT ROWID;

CREATE TABLE approval_rules (
  rule_id        TEXT PRIMARY KEY,
  agent_group_id TEXT NOT NULL REFERENCES agent_groups (id) ON DELETE CASCADE,
  action         TEXT NOT NULL,
  scope          TEXT NOT NULL,   -- what of this kind is always allowed; the kind says what it means
  created_by     TEXT,            -- a user id; NULL = whoever administers the host
  created_at     TEXT NOT NULL,
  approval_id    TEXT,            -- the approval that made it
  UNIQUE (agent_group_id, action, scope)
);
CREATE INDEX idx_pending_approvals_open ON pending_approvals (status, expires_at);

UPDATE pending_approvals SET same = request_id WHERE action = 'network';
UPDATE pending_approvals SET finished_at = decided_at, told_at = decided_at WHERE status <> 'pending';
DELETE FROM budget_alerts WHERE id LIKE 'network-%';  -- cards take their place
