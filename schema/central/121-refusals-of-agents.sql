-- Whoever administers only some agents of a chat rejects and blocks senders for these alone.

ALTER TABLE refusals ADD COLUMN agent_group_id TEXT REFERENCES agent_groups (id);  -- NULL = all agents of the chat
DROP INDEX idx_refusals_sender;
CREATE UNIQUE INDEX idx_refusals_sender
  ON refusals (messaging_group_id, coalesce(user_id, ''), coalesce(agent_group_id, ''));
CREATE INDEX idx_refusals_agent ON refusals (agent_group_id) WHERE agent_group_id IS NOT NULL;
