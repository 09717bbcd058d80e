-- A session may have a model of its own, by its name at the provider's server.

ALTER TABLE sessions ADD COLUMN model TEXT;
