"""Checkpoints and models: what is resumed, what is refused, and that nothing half-written stays."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from disentangledssl import checkpoints
from disentangledssl.checkpoints import (
    METADATA_KEY,
    fingerprint,
    load_checkpoint,
    load_models,
    save_checkpoint,
    save_models,
)
from disentangledssl.errors import InputError

CPU = torch.device("cpu")


def state(**others):
    return {"fingerprint": "abc", "epoch": 3, "model": {"w": torch.arange(6.0)}, "record": {"names": ["a"]}} | others


def tensors():
    return {"zc1.weights.0": torch.arange(12.0).reshape(2, 2, 3), "zc1.biases.0": torch.ones(2, 1, 16)}


INFO = {"method": "step1", "runs": [{"id": "beta=1,seed=0", "beta_value": 1.0}], "shapes": [[2], [3]]}


# ---------------------------------------------------------------- fingerprint


def test_fingerprint_depends_on_settings_and_contents_alone(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    files = [tmp_path / "a", tmp_path / "b"]
    settings = {"epochs": 3, "runs": [{"beta": 1.0, "seed": 0}]}
    whole = fingerprint(settings, files)
    assert whole == fingerprint({"runs": [{"seed": 0, "beta": 1.0}], "epochs": 3}, files)
    (tmp_path / "c").write_text("one")
    assert whole == fingerprint(settings, [tmp_path / "c", str(tmp_path / "b")])
    others = [
        fingerprint(settings | {"epochs": 4}, files),
        fingerprint(settings | {"code": ""}, files),
        fingerprint(settings, files[::-1]),
        fingerprint(settings, files[:1]),
        fingerprint(settings, []),
    ]
    (tmp_path / "b").write_text("twO")
    others.append(fingerprint(settings, files))
    assert len({whole, *others}) == 7


def test_fingerprint_tells_where_one_file_ends(tmp_path):
    for name, content in (("a", "onet"), ("b", "wo"), ("c", "one"), ("d", "two")):
        (tmp_path / name).write_text(content)
    assert fingerprint({}, [tmp_path / "a", tmp_path / "b"]) != fingerprint({}, [tmp_path / "c", tmp_path / "d"])


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_comes_back(tmp_path):
    path = tmp_path / "checkpoint.pt"
    assert load_checkpoint(path, "abc", CPU) is None
    save_checkpoint(path, state())
    found = load_checkpoint(path, "abc", CPU)
    assert found["epoch"] == 3
    assert found["record"] == {"names": ["a"]}
    assert torch.equal(found["model"]["w"], torch.arange(6.0))


def test_a_checkpoint_of_something_else_is_ignored(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", state())
    assert load_checkpoint(tmp_path / "checkpoint.pt", "other", CPU) is None


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state())

    def half(content, part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, state(epoch=4))
    assert load_checkpoint(path, "abc", CPU)["epoch"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "not a mapping", "no fingerprint", "pickle"])
def test_a_damaged_checkpoint_is_a_sentence(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state())
    content = path.read_bytes()
    if damage == "not a mapping":
        torch.save([1, 2], path)
    elif damage == "no fingerprint":
        torch.save({"epoch": 1}, path)
    elif damage == "pickle":  # anything but plain data is not loaded, let alone run
        torch.save(state(model=hashlib.blake2b), path)
    else:
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"not a file"}[damage])
    with pytest.raises(InputError) as caught:
        load_checkpoint(path, "abc", CPU)
    message = str(caught.value)
    assert message.startswith(f"{path}: the checkpoint is damaged (")
    assert message.endswith("; delete it; training then starts anew.")
    assert "\n" not in message


def test_no_flipped_byte_is_taken_in_silence(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state())
    content, refused = path.read_bytes(), 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            found = load_checkpoint(path, "abc", CPU)
        except InputError:
            refused += 1
            continue
        # Padding, and what an archive says of itself but nobody reads.
        assert torch.equal(found["model"]["w"], state()["model"]["w"]) and found["epoch"] == 3
        assert found["record"] == state()["record"]
    assert refused > 10


# ---------------------------------------------------------------- models


def test_no_flipped_byte_of_weights_is_taken_in_silence(tmp_path):
    path = tmp_path / "models.safetensors"
    many = {"w": torch.arange(24.0).reshape(4, 2, 3), "b": torch.arange(4.0).reshape(4, 1, 1)}
    save_models(path, many, INFO)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        for runs in (None, [1, 3]):
            try:
                found, info = load_models(path, runs and (lambda info, runs=runs: runs))
            except InputError:
                continue
            # Another run's bytes, or a space of the header.
            assert info == INFO and found.keys() == many.keys()
            assert all(torch.equal(found[name], tensor[runs] if runs else tensor) for name, tensor in many.items())


def test_models_come_back(tmp_path):
    save_models(tmp_path / "models.safetensors", tensors(), INFO)
    found, info = load_models(tmp_path / "models.safetensors")
    assert info == INFO
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())


def test_chosen_runs_alone_are_read(tmp_path, monkeypatch):
    path, asked = tmp_path / "models.safetensors", []
    many = {"zc1.weights.0": torch.arange(24.0).reshape(4, 2, 3), "zc1.biases.0": torch.arange(4.0).reshape(4, 1, 1)}
    save_models(path, many, INFO)

    class Slices:
        """An open file that gives no whole tensor."""

        def __init__(self, file):
            self.metadata, self.keys, self.get_slice = file.metadata, file.keys, file.get_slice

    @contextmanager
    def opened(*how, **more):
        with safe_open(*how, **more) as file:
            yield Slices(file)

    monkeypatch.setattr(checkpoints, "safe_open", opened)
    for runs in ([2], [3, 0], [1, 1], range(4)):
        found, info = load_models(path, lambda info, runs=runs: asked.append(info) or runs)
        assert info == asked[-1] == INFO
        assert found.keys() == many.keys()
        assert all(torch.equal(found[name], tensor[list(runs)]) for name, tensor in many.items())
    assert load_models(path, lambda info: []) == ({}, INFO)


def test_same_models_same_bytes(tmp_path):
    save_models(tmp_path / "a", tensors(), INFO)
    turned = {name: tensors()[name] for name in reversed(tensors())}
    save_models(tmp_path / "b", turned, {key: INFO[key] for key in reversed(INFO)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_slices_and_parameters_are_saved_as_they_are(tmp_path):
    weight = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4))
    save_models(tmp_path / "a", {"w": weight, "turned": weight.T, "cut": weight[:, :2], "nan": weight * torch.nan}, {})
    found, _ = load_models(tmp_path / "a")
    assert torch.equal(found["turned"], weight.T)
    assert torch.equal(found["cut"], weight[:, :2])
    assert torch.isnan(found["nan"]).all()


def test_models_that_cannot_be_written_leave_nothing(tmp_path):
    with pytest.raises(TypeError):
        save_models(tmp_path / "a", tensors(), {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "strange", "no metadata", "bad metadata", "folder"])
def test_unreadable_models_are_a_sentence(tmp_path, damage):
    path = tmp_path / "models.safetensors"
    save_models(path, tensors(), INFO)
    content = path.read_bytes()
    if damage == "strange":
        save_file(tensors(), path, metadata={"format": "pt"})
    elif damage == "no metadata":
        save_file(tensors(), path)
    elif damage == "bad metadata":
        save_file(tensors(), path, metadata={METADATA_KEY: json.dumps(INFO)[:-3]})
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "truncated": content[:-20], "text": b"not a file"}[damage])
    with pytest.raises(InputError) as caught:
        load_models(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: is not a readable stack of models (")
    assert message.endswith("; delete it and run again.")
    assert "\n" not in message


def test_missing_models_are_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"models\.safetensors: no such file; train it first\."):
        load_models(tmp_path / "models.safetensors")


def test_metadata_key_is_the_package():
    assert checkpoints.METADATA_KEY == "disentangledssl"
