"""Jobs of a machine with several GPUs land on different ones; how they choose needs no GPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from disentangledssl.errors import InputError
from disentangledssl.gpus import lock_folder, take_gpu

REPOSITORY = Path(__file__).parents[2]
NAMES = ["GPU-a", "GPU-b", "GPU-c"]
# A job: it says which GPU it took and holds it until it is told to end.
JOB = """
import sys
from pathlib import Path
from disentangledssl.errors import InputError
from disentangledssl.gpus import take_gpu
place, held = take_gpu(sys.argv[2:], Path(sys.argv[1]))
print(place, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a job in a process of its own: ``process, place = start(names)``."""
    jobs = []

    def one(names=NAMES):
        command = [sys.executable, "-c", JOB, str(tmp_path / "locks"), *names]
        jobs.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return jobs[-1], int(jobs[-1].stdout.readline())

    yield one
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_take_different_gpus_and_a_killed_one_leaves_its_own_free(start):
    jobs = [start() for _ in NAMES]
    assert [place for _, place in jobs] == [0, 1, 2]
    jobs[1][0].kill()
    jobs[1][0].wait()
    assert start()[1] == 1
    # One that ends well does so too.
    jobs[2][0].communicate("")
    assert start()[1] == 2


def test_more_jobs_than_gpus_share_them_evenly(start):
    assert [start()[1] for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_jobs_that_see_other_gpus_by_the_same_numbers_do_not_stand_in_each_others_way(start):
    """As in jobs of Slurm on one node, each of which sees its own GPU as number 0."""
    assert [start([name])[1] for name in NAMES] == [0, 0, 0]
    assert start()[1] == 0, "all are taken once"


def test_the_file_that_is_returned_is_what_holds_it(tmp_path):
    first, held = take_gpu(NAMES, tmp_path)
    second, other = take_gpu(NAMES, tmp_path)
    assert (first, second) == (0, 1)
    held.close()
    third, again = take_gpu(NAMES, tmp_path)
    assert third == 0
    for file in (other, again):
        file.close()


def test_every_user_has_locks_of_their_own(monkeypatch):
    mine = lock_folder("/tmp")
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert mine != lock_folder("/tmp") == Path("/tmp/disentangledssl-gpus-12345")


@pytest.fixture
def job_module(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "workflow" / "scripts"))
    spec = importlib.util.spec_from_file_location("_job_of_gpus", REPOSITORY / "workflow" / "scripts" / "_job.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Properties:
    def __init__(self, uuid: str):
        self.uuid = uuid


def test_a_job_makes_the_gpu_that_it_took_the_current_one(job_module, monkeypatch, tmp_path):
    """PyTorch's answers are made up, so that it runs without a GPU; the real ones are asked for below."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: Properties(NAMES[place]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, held = take_gpu(NAMES, lock_folder(str(tmp_path)))
    assert job_module.device("auto") == "cuda" and chosen == [1]
    assert job_module.os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert job_module.device("cpu") == "cpu" and chosen == [1]
    held.close()


def test_without_a_gpu_it_is_said_at_once(job_module, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no GPU"):
        take_gpu([], tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch sees no GPU; set it to auto or cpu"):
        job_module.device("cuda")
    assert job_module.device("auto") == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs: torch.cuda.device_count()")
def test_two_jobs_compute_on_two_gpus():
    program = (
        "import sys; sys.path.insert(0, 'workflow/scripts'); import _job, torch; where = _job.device('cuda')\n"
        "print(torch.ones(1, device=where).device, flush=True); sys.stdin.read()"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    places = {job.stdout.readline().strip() for job in jobs}
    for job in jobs:
        job.communicate("")
    assert len(places) == 2 and all(place.startswith("cuda:") for place in places)
