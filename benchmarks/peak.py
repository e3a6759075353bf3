"""The most memory that this process has held, without a library that would itself take some."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Return the largest size so far of the process in memory."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss starts from the size of the parent process; this is of the process itself.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
