-- The primary key allows duplicate global roles (agent_group_id NULL). The first grant stays.

DELETE FROM user_roles
WHERE rowid IN (
  SELECT rowid FROM (
    SELECT rowid, row_number() OVER (
      PARTITION BY user_id, role, coalesce(agent_group_id, '')
      ORDER BY julianday(granted_at), rowid
    ) AS place
    FROM user_roles
  )
  WHERE place > 1
);

CREATE UNIQUE INDEX idx_user_roles_unique ON user_roles (user_id, role, coalesce(agent_group_id, ''));
