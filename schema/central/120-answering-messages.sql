-- Messages that have answered a question or decided an approval. One that comes again answers nothing else.

CREATE TABLE answering_messages (
  message_id TEXT PRIMARY KEY,  -- their id in messages_in, if they had a row
  at         TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idx_answering_messages_age ON answering_messages (at);
