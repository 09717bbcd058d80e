-- The wiring that created a destination, and whose deletion deletes it. NULL means that no wiring did. If a wired
-- chat has several destinations, the oldest came with the wiring.

ALTER TABLE agent_destinations ADD COLUMN wiring_id TEXT REFERENCES messaging_group_agents (id);

UPDATE agent_destinations AS d
SET wiring_id = (
  SELECT w.id FROM messaging_group_agents w
  WHERE w.agent_group_id = d.agent_group_id AND w.messaging_group_id = d.target_id
)
WHERE d.target_type = 'channel' AND d.local_name = (
  SELECT o.local_name FROM agent_destinations o
  WHERE o.agent_group_id = d.agent_group_id AND o.target_type = 'channel' AND o.target_id = d.target_id
  ORDER BY julianday(o.created_at), o.local_name LIMIT 1
);
