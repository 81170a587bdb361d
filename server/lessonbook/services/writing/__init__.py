"""Writing: the one way in which lessons, their history, the audit trail and their scores change."""
