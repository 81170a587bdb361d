"""Has the fork server begin a command with this process's streams, passes signals on, and ends as the command does.

python -I -S launcher.py <socket> <arguments of python>
"""

import array
import json
import os
import signal
import socket
import sys

STREAMS = (0, 1, 2)


def main() -> None:
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    job = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109  # imports as little as it can
    told = json.dumps(job).encode() + b"\n"
    streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", STREAMS))]
    sent = server.sendmsg([told], streams)
    if rest := told[sent:]:  # nothing, to a server that has ended the command already, is a broken pipe
        server.sendall(rest)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in STREAMS:  # whoever reads them waits for the command alone
        os.dup2(nothing, stream)
    answers = server.makefile()
    child = int(answers.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    code = int(answers.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
