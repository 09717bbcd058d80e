-- The chats and agents that an agent may send to, and its names for them. The Python step creates a destination
-- for each existing wiring.

CREATE TABLE IF NOT EXISTS agent_destinations (
  agent_group_id TEXT NOT NULL REFERENCES agent_groups (id),
  local_name     TEXT NOT NULL,
  target_type    TEXT NOT NULL,               -- channel | agent
  target_id      TEXT NOT NULL,               -- a messaging group's id, or an agent group's
  created_at     TEXT NOT NULL,
  PRIMARY KEY (agent_group_id, local_name)
);
CREATE INDEX IF NOT EXISTS idx_agent_dest_target ON agent_destinations (target_type, target_id);
