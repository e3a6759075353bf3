"""Snakemake, imported once and forked for every call: half of a dry run would be the import of what never changes.

The server below is a process without threads; what it forks has the working directory, environment and module path of
the call, and imports the package of that checkout itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class Preloaded:
    """A server that calls Snakemake in processes that have it imported already."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float) -> tuple:
        """Call Snakemake as ``python -m snakemake`` would; return its exit status and what it said."""
        with tempfile.NamedTemporaryFile() as said:
            call = {
                "arguments": list(arguments), "folder": str(folder), "environment": dict(environment),
                "said": said.name, "seconds": int(seconds),
            }  # fmt: skip
            self._server.stdin.write(json.dumps(call) + "\n")
            self._server.stdin.flush()
            status = int(self._server.stdout.readline())
            return status, Path(said.name).read_text()

    def close(self) -> None:
        """End the server."""
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def serve() -> None:
    """Answer calls until there are no more; a forked process returns from here to be Snakemake."""
    import snakemake.cli

    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if not child:
            _become(call)
            snakemake.cli.main(call["arguments"])
        signal.signal(signal.SIGALRM, lambda *_, group=child: os.killpg(group, signal.SIGKILL))
        signal.alarm(call["seconds"])
        _, status = os.waitpid(child, 0)
        signal.alarm(0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(call: Mapping) -> None:
    """Take on all that a new process would have been given."""
    os.setsid()
    with open(call["said"], "w") as said, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.argv = ["snakemake", *call["arguments"]]
    # As `python -m` has it: the working directory, then PYTHONPATH, in place of this file's folder.
    sys.path[0:1] = [call["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve()
