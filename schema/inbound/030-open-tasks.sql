-- Open and paused tasks are found by their series, beside perhaps 100,000 finished rows.

CREATE INDEX idx_messages_in_open_tasks ON messages_in (series_id)
  WHERE kind = 'task' AND status IN ('pending', 'paused');
