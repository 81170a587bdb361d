"""Files of scanners, test runs and reviewers: findings, as they are read."""
