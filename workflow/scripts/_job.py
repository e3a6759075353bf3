"""What every script does around its one call: the log, one sentence on bad input, threads and timings."""

import errno
import json
import logging
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# The package of this repository, also where it is not installed (in an environment that conda made).
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from disentangledssl import timings
from disentangledssl.errors import InputError
from disentangledssl.gpus import lock_folder, only, take_gpu

_held = []  # what has to stay open until the process ends


@contextmanager
def job(snakemake):
    """Run one step: everything it says goes to the rule's log, a mistake of the user's to the terminal too."""
    begun = psutil.Process().create_time()
    terminal = os.fdopen(os.dup(2), "w")
    log = open(snakemake.log[0], "w", buffering=1)  # noqa: SIM115 (open until the process ends)
    os.dup2(log.fileno(), 2)
    logging.basicConfig(stream=log, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("gensim").setLevel(logging.WARNING)
    try:
        yield terminal
        _note_seconds(snakemake, timings.report(begun))
    except InputError as error:
        _fail(snakemake, terminal, str(error))
    except OSError as error:
        # Full disk, no permission: the user's machine, not our code.
        place = error.filename or snakemake.log[0]
        free = f", {psutil.disk_usage(_there(place)).free / 1e6:.0f} MB free" if error.errno == errno.ENOSPC else ""
        _fail(snakemake, terminal, f"{place}: {error.strerror or error}{free}; mend this and run again.")
    except MemoryError as error:
        _fail(snakemake, terminal, f"step {snakemake.rule} needs more memory than there is ({error}); give it more.")
    except Exception:
        _fail(snakemake, terminal, f"step {snakemake.rule} failed; please report it with the log.")


def _note_seconds(snakemake, seconds):
    logging.info("seconds: %s", json.dumps({name: round(value, 2) for name, value in seconds.items()}))
    # Beside Snakemake's own benchmark of the step, whose path the script is not told.
    beside = Path(snakemake.log[0].replace("/logs/", "/benchmarks/", 1)).with_suffix(".seconds.json")
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps({"rule": snakemake.rule, "threads": snakemake.threads, **seconds}) + "\n")


def _there(path):
    """The nearest folder above that exists."""
    return next(folder for folder in Path(path).absolute().parents if folder.is_dir())


def _fail(snakemake, terminal, sentence):
    # First to the terminal: on a full disk there is no log.
    print(f"\n{sentence}\n(log: {snakemake.log[0]})", file=terminal, flush=True)
    with suppress(OSError):
        traceback.print_exc()
    sys.exit(1)


def use_threads(count):
    """Give PyTorch so many threads; its numbers are the same for the same count."""
    import torch

    torch.set_num_threads(count)
    if torch.cuda.is_available():
        # Not on a CPU, whose algorithms are deterministic: the call imports for one and a half seconds.
        torch.use_deterministic_algorithms(True, warn_only=True)


def device(name):
    """Resolve ``auto`` to a GPU if PyTorch sees one; of several, one that no other job has becomes the current one."""
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        mend = "set it to auto or cpu, or have a GPU and a build of PyTorch that sees it"
        raise InputError("config", "device", "is cuda, but PyTorch sees no GPU", mend)
    names = [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]
    place, held = take_gpu(names, lock_folder(tempfile.gettempdir()))
    _held.append(held)
    torch.cuda.set_device(place)
    # For processes that this one starts.
    os.environ["CUDA_VISIBLE_DEVICES"] = only(place, os.environ.get("CUDA_VISIBLE_DEVICES"))
    logging.info("on GPU %s of %s (%s)", place, len(names), names[place])
    return "cuda"
