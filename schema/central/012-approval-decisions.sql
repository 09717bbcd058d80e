ALTER TABLE pending_approvals ADD COLUMN payload_hash TEXT;
ALTER TABLE pending_approvals ADD COLUMN decided_by TEXT;
ALTER TABLE pending_approvals ADD COLUMN decided_at TEXT;
