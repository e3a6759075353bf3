"""Google Drive, played by a web server on loopback: its page in front of a large file, its refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from publisher import DRIVE_REFUSES, drive_asks

from disentangledssl.config import DownloadSettings
from disentangledssl.errors import InputError
from disentangledssl.sources import drive
from disentangledssl.sources.catalogue import Catalogue, Table
from disentangledssl.sources.download import FIRST_USE, Transfer, fetch

BODY = b"\x80\x04" + np.random.default_rng(0).bytes(200_000) + b"."
ASK = "/uc?export=download&id=1_Xd"
SECOND = "wait a day if too many asked for it, or fetch it in a browser from "


@pytest.fixture
def get(tmp_path, publisher):
    """Fetch a file of 200 kB that lies on Drive behind a page; ``others`` are said of it in the table."""
    behind = drive_asks(publisher, ASK, BODY)
    publisher.behind = behind

    def run(retries: int = 3, **others):
        file = {"name": "mosi_data.pkl", "what": "x"} | others
        group = {"title": "MOSI", "terms": "research", "urls": [publisher.url + ASK], "files": [file]}
        source = Catalogue(Table.model_validate({"sources": {"mosi": group}}), "sources.yaml").find(
            "mosi/mosi_data.pkl"
        )
        settings = DownloadSettings(
            folder=str(tmp_path / "downloads"), by_hand=str(tmp_path / "by_hand"), table="sources.yaml", accept=[],
            mirror=None, proxy=None, retries=retries, timeout_seconds=5.0,
        )  # fmt: skip
        with Transfer(settings, backoff=0.001) as transfer:
            return fetch(source, settings, transfer)

    return run


def refusal(get, **others) -> str:
    with pytest.raises(InputError) as caught:
        get(**others)
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".") and len(said) < 500
    return said


def left(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "downloads/mosi").iterdir() if path.name[0] != ".")


def test_a_large_file_lies_behind_a_page(get, publisher, tmp_path):
    path = get(about=len(BODY))
    assert path == tmp_path / "downloads/mosi/mosi_data.pkl" and path.read_bytes() == BODY
    assert [one.path for one in publisher.asked] == [ASK, publisher.behind]
    noted = json.loads((path.parent / FIRST_USE).read_text())["mosi_data.pkl"]
    assert noted["bytes"] == len(BODY) and noted["from"] == publisher.url + ASK


def test_a_small_file_comes_at_once(get, publisher):
    publisher.files[ASK] = BODY
    publisher.headers.pop(ASK)
    assert get().read_bytes() == BODY and {one.path for one in publisher.asked} == {ASK}


def test_a_cut_transfer_goes_on_where_it_broke(get, publisher):
    """Each time by the page, whose address holds for a while only."""
    publisher.plans[publisher.behind] = [{"cut": 100_000}]
    assert get().read_bytes() == BODY
    assert [(one.path, one.range) for one in publisher.asked] == [
        (ASK, None), (publisher.behind, None), (ASK, None), (publisher.behind, "bytes=100000-")
    ]  # fmt: skip


def test_another_command_goes_on_too(get, publisher, tmp_path):
    publisher.plans[publisher.behind] = [{"cut": 50_000}]
    assert "the connection broke, 50 kB are kept" in refusal(get, retries=0)
    assert left(tmp_path) == ["mosi_data.pkl.part", "mosi_data.pkl.part.json"]
    assert get().read_bytes() == BODY and publisher.asked[-1].range == "bytes=50000-"


def test_a_server_in_trouble_is_asked_again(get, publisher):
    publisher.plans = {ASK: [{"status": 503}], publisher.behind: [{"status": 429}]}
    assert get().read_bytes() == BODY


def test_its_quota_is_used_up(get, publisher, tmp_path):
    publisher.files[ASK] = DRIVE_REFUSES
    said = refusal(get)
    assert '"Too many users have viewed or downloaded this file recently") in place of the file)' in said
    assert f"{SECOND}{publisher.url}{ASK} and put it at {tmp_path}/by_hand/mosi/mosi_data.pkl." in said
    assert left(tmp_path) == []
    # What is placed there is taken.
    (tmp_path / "by_hand/mosi").mkdir(parents=True)
    (tmp_path / "by_hand/mosi/mosi_data.pkl").write_bytes(BODY)
    asked = len(publisher.asked)
    assert get().read_bytes() == BODY and len(publisher.asked) == asked


def test_its_quota_is_used_up_behind_the_page(get, publisher, tmp_path):
    """What came before is kept."""
    publisher.plans[publisher.behind] = [
        {"cut": 50_000},
        {"body": DRIVE_REFUSES, "headers": {"Content-Type": "text/html"}},
    ]
    publisher.ranges = False
    said = refusal(get)
    assert 'sent a web page ("Google Drive - Quota exceeded") in place of the file' in said and SECOND in said
    assert left(tmp_path) == ["mosi_data.pkl.part", "mosi_data.pkl.part.json"]


def test_another_page(get, publisher):
    publisher.files[ASK] = b"<html><head><title>Sign in</title></head></html>"
    assert 'Google Drive sent a web page ("Sign in") in place of the file' in refusal(get)
    publisher.files[ASK] = b"<html></html>"
    assert 'Google Drive sent a web page ("no title") in place of the file' in refusal(get)


def test_a_file_that_is_gone(get, publisher):
    del publisher.files[ASK]
    assert "404 Not Found" in refusal(get)


def test_a_file_much_smaller_than_it_should_be_is_no_first_use(get, publisher, tmp_path):
    assert "holds 200 kB, not about 3.73 GB" in refusal(get, about=3_730_000_000)
    assert left(tmp_path) == []
    assert get(about=220_000).exists()


def test_a_pickle_that_was_cut_short_is_no_first_use(get, publisher, tmp_path):
    """Where neither size nor digest is known, and the server does not say how long it is."""
    publisher.lengths = False
    publisher.files[publisher.behind] = BODY[:-2]
    assert "is cut short, as its end is not that of a pkl file" in refusal(get)
    assert left(tmp_path) == []


def test_the_wrong_size(get):
    assert f"offers {len(BODY)} bytes, not 200000" in refusal(get, bytes=200_000)


def test_a_later_difference_is_refused(get, publisher):
    get().unlink()
    publisher.files[publisher.behind] = BODY[:-2] + b"x."
    assert "is not the file that came first" in refusal(get)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://drive.google.com/uc?export=download&id=1_Xd", True),
        ("https://drive.google.com/uc?id=1_Xd", True),
        ("https://drive.google.com/uc", False),
        ("https://example.org/uc/data.pkl?id=3", False),
        ("https://ftp.ncbi.nlm.nih.gov/geo/download/?acc=GSE1", False),
    ],
)
def test_which_addresses_are_of_drive(url, expected):
    assert drive.is_drive(url) is expected
