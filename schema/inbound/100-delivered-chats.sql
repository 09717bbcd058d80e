-- The chat of each delivered message: the platform's ids are unique only within a chat, and reactions name them.

ALTER TABLE delivered ADD COLUMN channel_type TEXT; -- NULL: not known
ALTER TABLE delivered ADD COLUMN platform_id TEXT;
