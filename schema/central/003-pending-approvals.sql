-- Requests that wait for an admin. Migration 007 adds title and options.

CREATE TABLE IF NOT EXISTS pending_approvals (
  approval_id         TEXT PRIMARY KEY,
  session_id          TEXT REFERENCES sessions (id),
  request_id          TEXT NOT NULL,
  action              TEXT NOT NULL,
  payload             TEXT NOT NULL,          -- JSON
  created_at          TEXT NOT NULL,
  agent_group_id      TEXT REFERENCES agent_groups (id),
  channel_type        TEXT,
  platform_id         TEXT,
  platform_message_id TEXT,
  expires_at          TEXT,
  status              TEXT NOT NULL DEFAULT 'pending'  -- pending | approved | rejected | expired
);
CREATE INDEX IF NOT EXISTS idx_pending_approvals_action_status ON pending_approvals (action, status);
