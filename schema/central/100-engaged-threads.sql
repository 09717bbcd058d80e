-- Threads in which an agent stays engaged, by wirings whose trigger rules are sticky.

CREATE TABLE engaged_threads (
  wiring_id  TEXT NOT NULL REFERENCES messaging_group_agents (id),
  thread_id  TEXT NOT NULL,  -- '' = the chat outside of its threads
  engaged_at TEXT NOT NULL,
  last_at    TEXT NOT NULL,  -- the last message there; a day later the agent is not engaged any more
  PRIMARY KEY (wiring_id, thread_id)
) WITHOUT ROWID;
CREATE INDEX idx_engaged_threads_last_at ON engaged_threads (last_at);
