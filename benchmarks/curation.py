"""Memory and time that curating a screen of the true size takes: LINCS from GEO's files, RxRx19a from its embeddings.

    python benchmarks/curation.py [FOLDER] [--share 1]

The files are made up, in the publishers' layouts (``curation_files.py`` says which), written into FOLDER (by default a
temporary one) and deleted afterwards. Each screen is curated as its rule does it, with the settings of ``config.yaml``,
in a process of its own, whose largest memory counts. Of the matrix only what may be read is on the disk, so the times
are not those of reading 65 GB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from curation_files import write_lincs, write_rxrx19a
from peak import peak_bytes
from pyarrow import parquet
from report import grid, processor

from disentangledssl.config import read_config
from disentangledssl.sources import lincs, rxrx19a

CONFIG = Path(__file__).parents[1] / "config.yaml"
MOST_GB = 8
NEEDED = 2.5e9  # bytes of disk
# By data set of the config: what makes its files, what curates them, and settings that are not of curation.
SCREENS = {
    "lincs": (write_lincs, lincs.curate, {"screen"}),
    "rxrx19a": (write_rxrx19a, rxrx19a.curate, {"screen", "segmentation", "keep_images"}),
}


def measure(name: str, files: dict[str, str], out: Path) -> dict[str, float]:
    """Curate; return seconds, bytes and the counts of what was written."""
    _, curate, others = SCREENS[name]
    make = read_config([CONFIG]).data[name].make.model_dump(exclude=others)
    wall, cpu = time.perf_counter(), time.process_time()
    curate(files, out, name=name, **make)
    wall, cpu, peak = time.perf_counter() - wall, time.process_time() - cpu, peak_bytes()
    profiles, molecules = (parquet.read_metadata(out / f"{table}.parquet") for table in ("view1", "molecules"))
    return {
        "wall": wall, "cpu": cpu, "peak": peak, "profiles": profiles.num_rows,
        "features": profiles.num_columns - 1, "molecules": molecules.num_rows,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="on the disk that is meant")
    parser.add_argument("--share", type=float, default=1, help="of wells and molecules, 0.02 at the least")
    parser.add_argument("--only", nargs=2, metavar=("SCREEN", "FILES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        name, files = options.only
        print(json.dumps(measure(name, json.loads(files), options.folder)))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if shutil.disk_usage(folder).free < NEEDED * options.share:
            sys.exit(f"{folder}: {NEEDED * options.share / 1e9:.1f} GB are needed; name a folder on another disk.")
        for name, (write, _, _) in SCREENS.items():
            raw, out = Path(folder, name, "raw"), Path(folder, name, "data")
            raw.mkdir(parents=True)
            out.mkdir()
            files = {key: str(path) for key, path in write(raw, options.share).items()}
            command = [sys.executable, __file__, str(out), "--only", name, json.dumps(files)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            counts = (f"{found[key]:,}" for key in ("profiles", "features", "molecules"))
            seconds = (f"{found[key]:.0f}" for key in ("wall", "cpu"))
            reached = "yes" if found["peak"] <= MOST_GB * 1e9 else "no"
            cells = (name, f"{found['peak'] / 1e9:.2f}", f"at most {MOST_GB:.2f}", reached, *seconds, *counts)
            rows.append(f"| {' | '.join(cells)} |")
            shutil.rmtree(Path(folder, name))
    head = "screen | peak memory, GB | target | reached | seconds | CPU seconds | profiles | features | molecules"
    print(grid(head, rows))
    print(f"\n{processor()}, {100 * options.share:g} % of the true size.")


if __name__ == "__main__":
    main()
