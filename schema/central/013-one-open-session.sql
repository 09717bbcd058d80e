-- An agent group, chat and thread have at most one session that is not archived. If there are several, the
-- active one that was used last stays open. The others are archived, and keep their files and rows.

UPDATE sessions SET status = 'active' WHERE status IS NULL;

UPDATE sessions SET status = 'archived'
WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER (
      PARTITION BY agent_group_id, coalesce(messaging_group_id, ''), coalesce(thread_id, '')
      ORDER BY status = 'active' DESC, julianday(coalesce(last_active, created_at)) DESC, julianday(created_at) DESC, id
    ) AS place
    FROM sessions
    WHERE status <> 'archived'
  )
  WHERE place > 1
);

-- coalesce, because a unique index treats all NULLs as different.
CREATE UNIQUE INDEX idx_sessions_one_open
ON sessions (agent_group_id, coalesce(messaging_group_id, ''), coalesce(thread_id, ''))
WHERE status <> 'archived';
