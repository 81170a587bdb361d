"""Writing: the only code that changes lessons, their history, the audit trail and their scores."""
