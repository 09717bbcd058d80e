-- One row for each sender and reason. Before, each new sender in a chat overwrote the last one.

ALTER TABLE unregistered_senders RENAME TO unregistered_senders_by_chat;

CREATE TABLE unregistered_senders (
  channel_type       TEXT NOT NULL,
  platform_id        TEXT NOT NULL,
  user_id            TEXT,
  sender_name        TEXT,
  reason             TEXT NOT NULL,
  messaging_group_id TEXT,
  agent_group_id     TEXT,
  message_count      INTEGER NOT NULL DEFAULT 1,
  first_seen         TEXT NOT NULL,
  last_seen          TEXT NOT NULL
);

INSERT INTO unregistered_senders (
  channel_type, platform_id, user_id, sender_name, reason,
  messaging_group_id, agent_group_id, message_count, first_seen, last_seen
)
SELECT
  channel_type, platform_id, user_id, max(sender_name), reason,
  max(messaging_group_id), max(agent_group_id), sum(message_count), min(first_seen), max(last_seen)
FROM unregistered_senders_by_chat
GROUP BY channel_type, platform_id, coalesce(user_id, ''), reason;

DROP TABLE unregistered_senders_by_chat;

CREATE UNIQUE INDEX idx_unregistered_senders_sender
ON unregistered_senders (channel_type, platform_id, coalesce(user_id, ''), reason);
CREATE INDEX idx_unregistered_senders_last_seen ON unregistered_senders (last_seen);
