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

TOO_LONG = "too long"


class Preloaded:
    """A server that calls Snakemake in processes that have it imported already."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float
    ) -> tuple[int, str]:
        """Call Snakemake as ``python -m snakemake`` would; return its exit status and what it said."""
        with tempfile.NamedTemporaryFile() as said:
            call = {
                "arguments": list(arguments), "folder": str(folder), "environment": dict(environment),
                "said": said.name, "seconds": int(seconds),
            }  # fmt: skip
            self._server.stdin.write(json.dumps(call) + "\n")
            self._server.stdin.flush()
            status = self._server.stdout.readline().strip()
            if status == TOO_LONG:
                raise TimeoutError(
                    f"Snakemake was not done in {seconds} s, and had said\n{Path(said.name).read_text()}"
                )
            return int(status), Path(said.name).read_text()

    def close(self) -> None:
        """End the server, and the call that it may be at."""
        self._server.terminate()
        self._server.communicate()


def serve() -> None:
    """Answer calls until there are no more; a forked process becomes Snakemake and does not return."""
    import snakemake.cli

    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if not child:
            _become(call)
            sys.exit(snakemake.cli.main(call["arguments"]))
        print(_wait(child, call["seconds"]), flush=True)


def _wait(child: int, seconds: int) -> int | str:
    """Return the exit status of a child; kill it and all that it started if it takes too long or the server ends."""
    ended = False
    signal.alarm(seconds)
    try:
        _, status = os.waitpid(child, 0)
        ended = True
        return os.waitstatus_to_exitcode(status)
    except TimeoutError:
        return TOO_LONG
    finally:
        signal.alarm(0)
        if not ended:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _time_is_up(*_) -> None:
    raise TimeoutError


def _become(call: Mapping) -> None:
    """Take on all that a new process would have been given."""
    os.setsid()
    for one in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(one, signal.SIG_DFL)
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
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(KeyboardInterrupt):
        serve()
