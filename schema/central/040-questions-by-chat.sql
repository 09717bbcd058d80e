-- The router looks up the questions that wait in a chat.

CREATE INDEX idx_pending_questions_chat ON pending_questions (channel_type, platform_id);
