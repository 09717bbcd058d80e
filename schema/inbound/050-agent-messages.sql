-- Messages between agents: which chain a delivery belongs to, and how many come from one session in a minute.

ALTER TABLE deliveries ADD COLUMN causation_id TEXT; -- the first message of the chain
ALTER TABLE deliveries ADD COLUMN hops INTEGER;      -- how far the chain has come; NULL: not to an agent

CREATE INDEX idx_messages_in_source ON messages_in (source_session_id, timestamp)
  WHERE source_session_id IS NOT NULL;
