"""The principals that are not a token's: who calls where nobody has to prove it, and the server itself."""

from typing import Final

LOCAL: Final = "local"
"""Everybody over stdio, in the same process, and over HTTP without authorisation."""
TERMINAL: Final = "cli"
"""A person at the terminal."""
SCRIPT: Final = "script"
"""Whoever sends evidence from a pipe, hook or script on a machine that is no CI: perhaps the agent."""
CI: Final = "ci"
"""Whoever sends evidence where the environment says that it is CI. A token may have this name as well."""
UPKEEP: Final = "upkeep"
"""What a server does by itself."""
REFINER: Final = "refiner"
"""What a server does with pending issues by itself."""
WATCH: Final = "watch"
"""What a server reads to tell listeners of changes."""
HEALTH: Final = "health"
"""What a server reads to tell probes that it is well."""
CENSUS: Final = "census"
"""What a server counts for its figures."""

RESERVED: Final = frozenset({LOCAL, TERMINAL, SCRIPT, UPKEEP, REFINER, WATCH, HEALTH, CENSUS})
"""Names that no token may have."""
