-- A task is looked for by its series among what is open or paused; what is done may be a hundred thousand rows.

CREATE INDEX idx_messages_in_open_tasks ON messages_in (series_id)
  WHERE kind = 'task' AND status IN ('pending', 'paused');
