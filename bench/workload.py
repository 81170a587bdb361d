"""What the timed clients ask: tasks with files for `get_lessons`, problems for `report_issues`."""

from typing import Any

AGENT = "BackendDevelopmentAgent"
"""The agent whose lessons are asked for."""

_TASKS: list[tuple[str, list[str]]] = [
    ("Add an endpoint that exports the orders of a customer as CSV, filtered by date and status",
     ["src/orders/api.py", "src/orders/export.py", "tests/orders/test_export.py"]),
    ("Fix the login form: sessions survive a password change, and the reset link works twice",
     ["src/auth/sessions.py", "src/auth/reset.py"]),
    ("Speed up the dashboard page, it runs a query for every project in the list",
     ["src/dashboard/views.py", "src/projects/repository.py"]),
    ("Receive payment webhooks: verify the signature, deduplicate deliveries, update the invoice",
     ["src/payments/webhook.py", "src/payments/models.py", "src/invoices/service.py"]),
    ("Let people upload a profile picture and make thumbnails of it in the background",
     ["src/profiles/upload.py", "src/workers/thumbnails.py"]),
    ("Move the nightly import of supplier price lists from a cron script to the task queue",
     ["scripts/import_prices.py", "src/workers/prices.py", "deploy/queue.yaml"]),
    ("Search articles by title and body, with pagination and highlighted matches",
     ["src/articles/search.py", "migrations/0042_search_index.py"]),
    ("Call the shipping provider's API for rates and cache its answers for an hour",
     ["src/shipping/client.py", "src/cache.py"]),
    ("Write an audit trail of every change of a user's role, readable by administrators only",
     ["src/users/roles.py", "src/audit/log.py", "src/admin/views.py"]),
    ("Make the configuration loader read YAML files and refuse unknown keys",
     ["src/config/loader.py", "src/config/schema.py"]),
    ("Add a retry with backoff to the mail sender and a dead-letter table for what still fails",
     ["src/mail/sender.py", "src/mail/models.py"]),
    ("Refactor the report generator so that months and time zones are handled in one place",
     ["src/reports/generator.py", "src/reports/calendar.py"]),
]  # fmt: skip

_ISSUES: list[dict[str, Any]] = [
    {"description": "The status filter of the order export is pasted into the SQL string with an f-string",
     "severity": "critical", "rule_id": "bandit:B608", "file": "src/orders/export.py"},
    {"description": "requests.get to the shipping provider has no timeout, a worker hung for forty minutes",
     "rule_id": "bandit:B113", "file": "src/shipping/client.py"},
    {"description": "The loader calls yaml.load without a safe loader on a file users can upload",
     "severity": "high", "rule_id": "bandit:B506", "file": "src/config/loader.py"},
    {"description": "Invoice totals are off by a cent because amounts are added as floats",
     "category": "correctness", "file": "src/invoices/service.py",
     "lesson": "Keep amounts of money as integers of the smallest unit or as decimals, never as binary floats.",
     "why": "Binary fractions cannot hold most decimal amounts."},
    {"description": "The reset link still works after the password was changed with it",
     "severity": "high", "category": "security", "file": "src/auth/reset.py"},
    {"description": "The dashboard issues one query per project, 340 for the largest account",
     "category": "performance", "file": "src/dashboard/views.py"},
    {"description": "except Exception: pass hides every failure of the thumbnail worker",
     "rule_id": "bandit:B110", "file": "src/workers/thumbnails.py"},
    {"description": "Next month is computed as month + 1, which is 13 in December",
     "severity": "medium", "category": "correctness", "file": "src/reports/calendar.py",
     "lesson": "Compute with dates through a calendar library, not through arithmetic on month numbers."},
]  # fmt: skip


def lesson_queries() -> list[dict[str, Any]]:
    """Return the arguments of `get_lessons`, one per task."""
    return [{"agent_name": AGENT, "task": task, "files": files} for task, files in _TASKS]


def reports(count: int) -> list[dict[str, Any]]:
    """Return `count` arguments of `report_issues` with one issue each; no two name the same line."""
    return [
        {
            "agent_name": AGENT,
            "source": "ci",
            "issues": [{**_ISSUES[number % len(_ISSUES)], "line": 10 + number}],
        }
        for number in range(count)
    ]
