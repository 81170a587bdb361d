"""Lessonbook: an MCP server that serves coding agents lessons, and measures which of them help."""

__version__ = "0.1.0"
