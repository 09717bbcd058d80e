-- Requests of agents that the host has performed: each once, however often its delivery is tried.

CREATE TABLE performed_actions (
  session_id     TEXT NOT NULL REFERENCES sessions (id),
  message_out_id TEXT NOT NULL,
  status         TEXT NOT NULL, -- completed | failed
  result         TEXT NOT NULL, -- JSON
  performed_at   TEXT NOT NULL,
  PRIMARY KEY (session_id, message_out_id)
);
