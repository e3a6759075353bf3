"""What became of jobs of Slurm that failed, a sentence each: Snakemake names a log of Slurm and leaves it at that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A failure as Snakemake logs it: of a rule, or of a group of them, whose rules follow with their outputs.
BLOCK = re.compile(r"^(?:Error in rule (\w+):|    message: Error in group .*)\n((?: +.*\n)+)", re.MULTILINE)
# The last of a line's paths, and the one that is always absolute; they may hold spaces.
SLURM_LOG = re.compile(r"^ +log: (?:.*, )?(/.*/slurm_logs/.+/([\d_]+)\.log)", re.MULTILINE)
OUTPUT = re.compile(r"^ +output: (.*)$", re.MULTILINE)
RULE = re.compile(r"^ +rule (\w+):$", re.MULTILINE)
# What Slurm writes into the log of a job, or Snakemake's plugin tells of a job that is in no group.
TIME = re.compile(r"DUE TO TIME LIMIT|'TIMEOUT'")
MEMORY = re.compile(r"exceeded (?:job |step )?memory limit|oom[-_ ]?kill|out[ _]of[ _]memory", re.IGNORECASE)
CANCELLED = re.compile(r"CANCELLED AT|'CANCELLED'")
# A step's own sentence stands above the name of its log.
SENTENCE = re.compile(r"^(.+)\n\(log: .+\)$", re.MULTILINE)


class Failure(NamedTuple):
    """A job that Slurm did not finish: the rules in it, what they would have made, what was told of it, Slurm's log."""

    rules: list[str]
    outputs: list[str]
    job: str
    told: str
    log: Path


def failures(log: str) -> Iterator[Failure]:
    """Find the failures in a log of Snakemake's that Slurm had a part in, of each job the last."""
    found = {}
    for rule, text in BLOCK.findall(log):
        if at := SLURM_LOG.search(text):
            outputs = list(dict.fromkeys(one for line in OUTPUT.findall(text) for one in line.split(", ")))
            found[tuple(outputs)] = Failure([rule] if rule else RULE.findall(text), outputs, at[2], text, Path(at[1]))
    yield from found.values()


def sentences(log: str) -> list[str]:
    """Say of every job that failed for good what became of it and what to do.

    Parameters
    ----------
    log : str
        Snakemake's own log. Where what a job was to make is there, another attempt of it has ended well.
    """
    return [_sentence(one) for one in failures(log) if not all(Path(path).exists() for path in one.outputs)]


def _sentence(failure: Failure) -> str:
    rules, again = list(dict.fromkeys(failure.rules)), "the same command goes on"
    where = f"{', '.join(rules)} (job {failure.job} of Slurm, for {failure.outputs[0]})"
    try:
        said = failure.log.read_text(errors="replace")
    except OSError:
        return f"{where} never started: it was cancelled in the queue, or no node could run it; {again}."
    if own := SENTENCE.search(said):
        return f"{where}: {own[1]}"
    said += failure.told
    if TIME.search(said):
        return f"{where} ran out of time; {again}, or give it more: {_option(rules, 'runtime=<minutes>')}."
    if MEMORY.search(said):
        return f"{where} needed more memory than it had asked for; give it more: {_option(rules, 'mem_mb=<MB>')}."
    if CANCELLED.search(said):
        return f"{where} was cancelled; {again}."
    return f"{where} ended before it was done; what it said is in {failure.log}"


def _option(rules: list[str], resource: str) -> str:
    """Give every rule of a job more of a resource: which of a group's lacked it, Slurm does not say."""
    return f"--set-resources {' '.join(f'{rule}:{resource}' for rule in rules)}"
