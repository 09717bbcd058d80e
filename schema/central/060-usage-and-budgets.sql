-- What agents have used, the limits on it, and what the owner is told about them. Days are the user's.

CREATE TABLE usage (
  day                TEXT NOT NULL, -- YYYY-MM-DD
  session_id         TEXT NOT NULL,
  agent_group_id     TEXT NOT NULL,
  provider           TEXT NOT NULL, -- empty: counted by the session, not at the model
  model              TEXT NOT NULL,
  turns              INTEGER NOT NULL DEFAULT 0,
  tool_calls         INTEGER NOT NULL DEFAULT 0,
  messages           INTEGER NOT NULL DEFAULT 0,
  input_tokens       INTEGER NOT NULL DEFAULT 0,
  cached_tokens      INTEGER NOT NULL DEFAULT 0,
  cache_write_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens      INTEGER NOT NULL DEFAULT 0,
  micro_dollars      INTEGER NOT NULL DEFAULT 0,
  unpriced_tokens    INTEGER NOT NULL DEFAULT 0, -- tokens of a model whose price is not known
  PRIMARY KEY (day, session_id, agent_group_id, provider, model)
) WITHOUT ROWID;

CREATE TABLE budgets (
  scope   TEXT NOT NULL, -- day | agent:<id> | session:<id>
  measure TEXT NOT NULL, -- turns | tool_calls | messages | tokens | money
  amount  INTEGER,       -- a day; money in micro-dollars; NULL = no limit
  set_at  TEXT NOT NULL,
  PRIMARY KEY (scope, measure)
) WITHOUT ROWID;

CREATE TABLE budget_resets (
  scope         TEXT PRIMARY KEY,
  day           TEXT NOT NULL,    -- on this day, what was used before does not count:
  turns         INTEGER NOT NULL,
  tool_calls    INTEGER NOT NULL,
  messages      INTEGER NOT NULL,
  tokens        INTEGER NOT NULL,
  micro_dollars INTEGER NOT NULL,
  reset_at      TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE budget_alerts (
  id         TEXT PRIMARY KEY,  -- of the day, the budget and the percentage
  day        TEXT NOT NULL,
  text       TEXT NOT NULL,
  session_id TEXT,              -- the session that tells it; NULL = none is chosen yet
  told       INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL
) WITHOUT ROWID;
