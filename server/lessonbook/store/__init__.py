"""The only place that knows SQL: tables, engines, one module of queries per subject, and the migrations' runner."""
