"""A tiny server for the tests of the stdio edge: `python echo_server.py [sdk] [threads] [hasty]`.

It waits for what is in flight as long as a test does, so that no load of the machine makes it break off; `hasty` waits
for nothing.
"""

import logging
import resource
import subprocess
import sys

import anyio
from mcp.server.mcpserver import MCPServer

from lessonbook.edges.transport import stdio

PATIENCE_S = 300
server: MCPServer[None] = MCPServer("echo")


@server.tool()
def echo(text: str) -> str:
    return text


@server.tool()
def constant() -> str:
    return "constant"


@server.tool()
def big(size: int) -> str:
    return "x" * size


@server.tool()
def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@server.tool()
async def slow(seconds: float) -> str:
    await anyio.sleep(seconds)
    return "slept"


@server.tool()
def unsayable() -> str:
    return "\ud800"


@server.tool()
def shout() -> str:
    sys.stderr.write("heard\n")
    sys.stderr.flush()
    return "shouted"


@server.tool()
def litter() -> str:
    print("stray print")  # noqa: T201 - on purpose
    sys.stdout.flush()
    print("stray print left in the buffer")  # noqa: T201 - on purpose
    subprocess.run(["echo", "stray child"], check=True)
    return f"child read {len(subprocess.run(['cat'], capture_output=True, check=True).stdout)} bytes"


if __name__ == "__main__":
    logging.disable()
    stdio.GRACE_S = 0.0 if "hasty" in sys.argv else PATIENCE_S
    if "threads" in sys.argv:
        stdio._POLLS = False
    anyio.run(server.run_stdio_async if "sdk" in sys.argv else lambda: stdio.serve_stdio(server))
