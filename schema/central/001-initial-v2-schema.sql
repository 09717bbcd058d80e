-- v2.db, the central database: agents, chats, users and their rights (docs/contract.md 3).

CREATE TABLE IF NOT EXISTS agent_groups (
  id             TEXT PRIMARY KEY,
  name           TEXT NOT NULL,
  folder         TEXT NOT NULL UNIQUE,
  agent_provider TEXT,
  created_at     TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS messaging_groups (
  id                    TEXT PRIMARY KEY,
  channel_type          TEXT NOT NULL,
  platform_id           TEXT NOT NULL,
  name                  TEXT,
  is_group              INTEGER DEFAULT 0,
  unknown_sender_policy TEXT NOT NULL DEFAULT 'strict',  -- strict | request_approval | public
  created_at            TEXT NOT NULL,
  UNIQUE (channel_type, platform_id)
);

CREATE TABLE IF NOT EXISTS messaging_group_agents (
  id                 TEXT PRIMARY KEY,
  messaging_group_id TEXT NOT NULL REFERENCES messaging_groups (id),
  agent_group_id     TEXT NOT NULL REFERENCES agent_groups (id),
  trigger_rules      TEXT,                    -- JSON; empty = every message
  response_scope     TEXT DEFAULT 'all',      -- all | triggered | allowlisted
  session_mode       TEXT DEFAULT 'shared',   -- shared | per-thread | agent-shared
  priority           INTEGER DEFAULT 0,
  created_at         TEXT NOT NULL,
  UNIQUE (messaging_group_id, agent_group_id)
);

CREATE TABLE IF NOT EXISTS users (
  id           TEXT PRIMARY KEY,              -- tg:123, discord:abc, phone:+1555…, email:a@x.com
  kind         TEXT NOT NULL,
  display_name TEXT,
  created_at   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS user_roles (
  user_id        TEXT NOT NULL REFERENCES users (id),
  role           TEXT NOT NULL,               -- owner (always global) | admin
  agent_group_id TEXT REFERENCES agent_groups (id),  -- NULL = global
  granted_by     TEXT REFERENCES users (id),
  granted_at     TEXT NOT NULL,
  PRIMARY KEY (user_id, role, agent_group_id)
);
CREATE INDEX IF NOT EXISTS idx_user_roles_scope ON user_roles (agent_group_id, role);

CREATE TABLE IF NOT EXISTS agent_group_members (
  user_id        TEXT NOT NULL REFERENCES users (id),
  agent_group_id TEXT NOT NULL REFERENCES agent_groups (id),
  added_by       TEXT REFERENCES users (id),
  added_at       TEXT NOT NULL,
  PRIMARY KEY (user_id, agent_group_id)
);

CREATE TABLE IF NOT EXISTS user_dms (
  user_id            TEXT NOT NULL REFERENCES users (id),
  channel_type       TEXT NOT NULL,
  messaging_group_id TEXT NOT NULL REFERENCES messaging_groups (id),
  resolved_at        TEXT NOT NULL,
  PRIMARY KEY (user_id, channel_type)
);

CREATE TABLE IF NOT EXISTS sessions (
  id                 TEXT PRIMARY KEY,
  agent_group_id     TEXT NOT NULL REFERENCES agent_groups (id),
  messaging_group_id TEXT REFERENCES messaging_groups (id),
  thread_id          TEXT,
  agent_provider     TEXT,
  status             TEXT DEFAULT 'active',   -- active | paused | archived
  container_status   TEXT DEFAULT 'stopped',  -- stopped | starting | running
  last_active        TEXT,
  created_at         TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_sessions_agent_group ON sessions (agent_group_id);
CREATE INDEX IF NOT EXISTS idx_sessions_lookup ON sessions (messaging_group_id, thread_id);

CREATE TABLE IF NOT EXISTS pending_questions (
  question_id    TEXT PRIMARY KEY,
  session_id     TEXT NOT NULL REFERENCES sessions (id),
  message_out_id TEXT NOT NULL,               -- a row of the session's outbound.db
  platform_id    TEXT,
  channel_type   TEXT,
  thread_id      TEXT,
  title          TEXT NOT NULL,
  options_json   TEXT NOT NULL,
  created_at     TEXT NOT NULL
);
