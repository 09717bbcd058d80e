-- The sites that the owner has allowed or refused for an agent.

CREATE TABLE network_sites (
  agent_group_id TEXT NOT NULL REFERENCES agent_groups (id),
  site           TEXT NOT NULL, -- example.org | *.example.org | example.org:8443
  decision       TEXT NOT NULL, -- allowed | refused
  decided_by     TEXT,          -- a user id; NULL = whoever administers the host
  decided_at     TEXT NOT NULL,
  PRIMARY KEY (agent_group_id, site)
) WITHOUT ROWID;
