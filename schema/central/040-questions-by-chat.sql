-- Each new plan for a chat asks what questions wait there.

CREATE INDEX idx_pending_questions_chat ON pending_questions (channel_type, platform_id);
