"""Our Adam is PyTorch's, bit by bit, through a checkpoint too, and does not import its compiler."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch

from disentangledssl.optimiser import Adam

SHAPES = [(3, 16, 5), (3, 1, 16), (2, 7, 9), (1,)]


def parameters(dtype):
    draws = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=draws, dtype=dtype)) for shape in SHAPES]


def give_gradients(lists, step):
    draws = torch.Generator().manual_seed(step)
    for several in zip(*lists, strict=True):
        gradient = torch.randn(several[0].shape, generator=draws, dtype=several[0].dtype) * 10.0 ** -(step % 5)
        for one in several:
            one.grad = gradient.clone()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_those_of_torch_bit_by_bit(dtype):
    ours, theirs = parameters(dtype), parameters(dtype)
    optimiser, reference = Adam(ours, 1e-2), torch.optim.Adam(theirs, lr=1e-2, fused=True)
    for step in range(20):
        give_gradients((ours, theirs), step)
        optimiser.rate = reference.param_groups[0]["lr"] = 1e-2 / (1 + step)
        optimiser.step()
        reference.step()
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    optimiser.zero_grad()
    assert all(one.grad is None for one in ours)


def test_a_loaded_optimiser_goes_on_as_the_saved_one():
    ours, again = parameters(torch.float32), parameters(torch.float32)
    first, second = Adam(ours, 1e-2), Adam(again, 1e-2)
    for step in range(3):
        give_gradients([ours], step)
        first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        for one, other in zip(again, ours, strict=True):
            one.copy_(other)
    for step in range(3, 6):
        give_gradients((ours, again), step)
        first.step()
        second.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, again, strict=True))


def test_a_step_does_not_import_the_compiler():
    code = (
        "import sys, torch; from disentangledssl.optimiser import Adam; p = torch.nn.Parameter(torch.ones(3));"
        "a = Adam([p], 0.1); p.sum().backward(); a.step(); print('torch._dynamo' in sys.modules, p[0].item())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "False"
    assert float(said[1]) == pytest.approx(0.9)
