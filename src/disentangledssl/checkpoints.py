"""Saving and loading: checkpoints to resume from, finished models to use."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from disentangledssl.atomic import atomic
from disentangledssl.errors import InputError

METADATA_KEY = "disentangledssl"


def fingerprint(settings: Mapping[str, Any], files: Iterable[str | os.PathLike[str]]) -> str:
    """Digest of everything that a stack's weights depend on: settings and the content of files."""
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for file in files:
        with open(file, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "blake2b").digest())
    return digest.hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint under its name in one step (a kill leaves the old one)."""
    with atomic(path) as part:
        torch.save(state, part)


def load_checkpoint(path: Path, expected: str, device: torch.device) -> dict[str, Any] | None:
    """Load a checkpoint, or return None if there is none or it was made under other settings or data.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load does not look at the checksums that torch.save writes
                raise ValueError(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise InputError(
            path, "", f"the checkpoint is damaged ({type(error).__name__})", "delete it; training then starts anew"
        ) from error
    return state if found == expected else None


def save_models(path: Path, tensors: Mapping[str, torch.Tensor], info: Mapping[str, Any]) -> None:
    """Write a stack's weights (safetensors: no pickle) with ``info`` as JSON; same content, same bytes.

    The format has no checksum, so one of the info and of each run's slice of each tensor stand beside the info.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksums = {name: [_checksum(one) for one in tensor] for name, tensor in contiguous.items()}
    content = {"info": info, "info_checksum": _checksum_of_info(info), "checksums": checksums}
    with atomic(path) as part:
        save_file(contiguous, part, metadata={METADATA_KEY: json.dumps(content, sort_keys=True)})


def load_models(
    path: str | os.PathLike[str], choose: Callable[[dict[str, Any]], Sequence[int]] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`save_models` wrote.

    Parameters
    ----------
    path : path
    choose : callable, optional
        Given the info, names the runs whose weights are wanted, in order; the others are not read from disk.

    Raises
    ------
    InputError
        If the file is missing, damaged or not a stack of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[METADATA_KEY])
            info, checksums = content["info"], content["checksums"]
            if _checksum_of_info(info) != content["info_checksum"]:
                raise ValueError("wrong checksum of what it says of itself")
            runs = None if choose is None else list(choose(info))
            if runs is None:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            else:
                slices = {name: file.get_slice(name) for name in file.keys() if runs}  # noqa: SIM118
                tensors = {name: torch.stack([one[run] for run in runs]) for name, one in slices.items()}
            for name, tensor in tensors.items():
                expected = checksums[name] if runs is None else [checksums[name][run] for run in runs]
                if [_checksum(one) for one in tensor] != expected:
                    raise ValueError(f"wrong checksum of {name}")
            return tensors, info
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "train it first") from None
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise InputError(path, "", f"is not a readable stack of models ({error})", "delete it and run again") from None


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _checksum_of_info(info: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(info, sort_keys=True).encode())
