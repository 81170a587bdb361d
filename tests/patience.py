"""How long a test waits before it calls something hung."""

PATIENCE_S = 600
"""Seconds. Far above what any machine needs: only a hang is ever found by it, never slowness."""
