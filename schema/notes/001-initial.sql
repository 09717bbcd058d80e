-- The notes of an agent: workspace/notes.db. Runners of all its sessions write it, and people may, with sqlite3.
CREATE TABLE notes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the number that the agent knows; never used again
  text TEXT NOT NULL UNIQUE,
  tags TEXT NOT NULL DEFAULT '',        -- words, separated by spaces
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  recalls INTEGER NOT NULL DEFAULT 0    -- how often `recall` found it
);

CREATE INDEX idx_notes_used ON notes (recalls, id);

CREATE VIRTUAL TABLE notes_index USING fts5 (
  text, tags, content = 'notes', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);

-- The index follows every change, also one made by hand.
CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN
  INSERT INTO notes_index (rowid, text, tags) VALUES (new.id, new.text, new.tags);
END;

CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
  INSERT INTO notes_index (notes_index, rowid, text, tags) VALUES ('delete', old.id, old.text, old.tags);
END;

CREATE TRIGGER notes_changed AFTER UPDATE OF id, text, tags ON notes BEGIN
  INSERT INTO notes_index (notes_index, rowid, text, tags) VALUES ('delete', old.id, old.text, old.tags);
  INSERT INTO notes_index (rowid, text, tags) VALUES (new.id, new.text, new.tags);
END;
