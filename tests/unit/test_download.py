"""Fetching from a real web server on loopback that can be told to misbehave; no test needs the internet."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
from publisher import Asked

from disentangledssl.config import DownloadSettings
from disentangledssl.errors import InputError
from disentangledssl.sources import download
from disentangledssl.sources.catalogue import Catalogue, Source, Table
from disentangledssl.sources.download import FIRST_USE, Transfer, fetch, fetch_all, known_digest

BODY = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
SHA512 = f"sha512:{hashlib.sha512(BODY).hexdigest()}"
PATH = "lincs/matrix.bin"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def settings(tmp_path):
    def make(**others) -> DownloadSettings:
        defaults = {
            "folder": str(tmp_path / "downloads"), "by_hand": str(tmp_path / "by_hand"), "table": "sources.yaml",
            "accept": [], "mirror": None, "proxy": None, "retries": 3, "timeout_seconds": 5.0,
        }  # fmt: skip
        return DownloadSettings(**defaults | others)

    return make


@pytest.fixture
def source(publisher):
    """The table's entry of a file at ``<publisher>/a/<name>``: ``of`` is said of its source, the rest of the file."""

    def make(name: str = "matrix.bin", of: dict | None = None, **file) -> Source:
        group = {"title": "A matrix", "terms": "free", "urls": [f"{publisher.url}/a/{{name}}"]} | (of or {})
        table = Table.model_validate({"sources": {"lincs": group | {"files": [{"name": name, "what": "x"} | file]}}})
        return Catalogue(table, "sources.yaml").find(f"lincs/{name}")

    publisher.files["/a/matrix.bin"] = BODY
    return make


@pytest.fixture
def get(settings):
    """Fetch with next to no waiting between attempts; gives the path."""

    def run(source: Source, **others) -> Path:
        checked = settings(**others)
        with Transfer(checked, backoff=0.001) as transfer:
            return fetch(source, checked, transfer)

    return run


def left(tmp_path: Path) -> list[str]:
    """Names of the files in the folder of downloads, without the hidden ones."""
    return sorted(path.name for path in (tmp_path / "downloads").rglob("*") if path.is_file() and path.name[0] != ".")


def refusal(get, source: Source, *parts: str, **others) -> str:
    """Check that fetching ends in one sentence that holds these parts; return it."""
    with pytest.raises(InputError) as caught:
        get(source, **others)
    said = str(caught.value)
    assert "\n" not in said and said.endswith((".", "?")) and len(said) < 500
    assert all(part in said for part in parts), said
    return said


# What goes well


def test_a_file_is_fetched_once_and_then_kept(get, source, publisher, tmp_path):
    one = source(digest=SHA512, bytes=len(BODY))
    path = get(one)
    assert path == tmp_path / "downloads/lincs/matrix.bin" and path.read_bytes() == BODY
    assert left(tmp_path) == ["matrix.bin"]
    assert get(one) == path and len(publisher.asked) == 1


@pytest.mark.parametrize("kind", ["sha512", "sha256", "md5"])
def test_digests_of_each_kind(get, source, kind):
    right = hashlib.new(kind, BODY).hexdigest()
    assert get(source(digest=f"{kind}:{right}")).read_bytes() == BODY
    wrong = source(name="matrix.bin", digest=f"{kind}:{right[::-1]}")
    refusal(get, wrong, f"its {kind} begins with {right[:12]}, not with {right[::-1][:12]}")


def test_no_length_is_told(get, source, publisher):
    publisher.lengths = False
    assert get(source(digest=SHA512)).read_bytes() == BODY


def test_bytes_are_kept_as_they_are_stored(get, source, publisher):
    """A server that calls a gzip file an encoding of its content must not make us unpack it."""
    packed = gzip.compress(BODY)
    publisher.files["/a/table.txt.gz"] = packed
    publisher.headers["/a/table.txt.gz"] = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    assert get(source(name="table.txt.gz", bytes=len(packed))).read_bytes() == packed


def test_files_of_one_job_share_a_connection(settings, publisher, tmp_path, monkeypatch):
    png = b"\x89PNG" + BODY[:100]
    table = tmp_path / "sources.yaml"
    table.write_text(
        f"sources:\n  images:\n    title: Images\n    terms: free\n    urls: ['{publisher.url}/{{name}}']\n    files:\n"
        "      - {name: 'P{plate}/{well}_{site}.png', what: images, fields: {plate: '[0-9]+', well: '[A-Z]', "
        "site: [1, 2]}}\n"
    )
    publisher.files |= {"/P7/A_1.png": png + b"1", "/P7/A_2.png": png + b"2"}
    connections = set()
    answer = publisher.answer
    monkeypatch.setattr(publisher, "answer", lambda request: (connections.add(request.client_address), answer(request)))
    checked = settings(table=str(table))
    paths = [tmp_path / f"downloads/images/P7/A_{site}.png" for site in (1, 2)]
    fetch_all(paths, checked.model_dump())
    assert [path.read_bytes()[-1:] for path in paths] == [b"1", b"2"] and len(connections) == 1
    noted = json.loads((paths[0].parent / FIRST_USE).read_text())
    assert {name: one["sha256"] for name, one in noted.items()} == {
        "A_1.png": sha256(png + b"1"), "A_2.png": sha256(png + b"2")
    }  # fmt: skip


# Cut connections


@pytest.mark.parametrize("pinned", [True, False], ids=["digest known", "trusted on first use"])
def test_a_cut_transfer_goes_on_from_the_part(get, source, publisher, pinned):
    publisher.plans["/a/matrix.bin"] = [{"cut": 100_000}, {"cut": 50_000}]
    path = get(source(digest=SHA512) if pinned else source())
    assert path.read_bytes() == BODY
    assert [one.range for one in publisher.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert sum(one.sent for one in publisher.asked) == len(BODY)


def test_a_cut_without_a_length_is_noticed_by_the_size(get, source, publisher):
    publisher.lengths = False
    publisher.plans["/a/matrix.bin"] = [{"cut": 100_000}]
    refusal(get, source(bytes=len(BODY)), "holds 100000 bytes, not 300000")


def test_a_server_without_ranges_sends_everything_anew(get, source, publisher):
    publisher.ranges = False
    publisher.plans["/a/matrix.bin"] = [{"cut": 100_000}]
    assert get(source(digest=SHA512)).read_bytes() == BODY
    assert [one.status for one in publisher.asked] == [200, 200] and publisher.asked[1].sent == len(BODY)


def test_what_came_before_is_kept_for_the_next_command(get, source, publisher, tmp_path):
    publisher.plans["/a/matrix.bin"] = [{"cut": 50_000}, {"cut": 10_000}]
    said = refusal(get, source(digest=SHA512), "the connection broke, 60 kB are kept", retries=1)
    assert said.endswith("run the same command again, which goes on from there.")
    assert left(tmp_path) == ["matrix.bin.part", "matrix.bin.part.json"]
    assert get(source(digest=SHA512)).read_bytes() == BODY
    assert publisher.asked[-1].range == "bytes=60000-" and left(tmp_path) == ["matrix.bin"]


def test_progress_earns_new_attempts(get, source, publisher, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 10_000)
    publisher.plans["/a/matrix.bin"] = [{"cut": 20_000} for _ in range(10)]
    assert get(source(digest=SHA512), retries=1).read_bytes() == BODY and len(publisher.asked) == 11


def test_a_server_that_always_starts_afresh_is_given_up(get, source, publisher, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 10_000)
    publisher.ranges = False
    publisher.plans["/a/matrix.bin"] = [{"cut": cut} for _ in range(50) for cut in (20_000, 40_000)]
    refusal(get, source(digest=SHA512), "the connection broke", retries=2)
    assert len(publisher.asked) <= 6


def test_a_file_that_changed_meanwhile_is_not_mixed(get, source, publisher, tmp_path):
    publisher.plans["/a/matrix.bin"] = [{"cut": 50_000}]
    refusal(get, source(), "the connection broke", retries=0)
    publisher.files["/a/matrix.bin"] = OTHER
    assert get(source()).read_bytes() == OTHER
    assert publisher.asked[-1].range and publisher.asked[-1].status == 200


def test_a_part_of_unknown_origin_is_not_trusted(get, source, publisher, tmp_path):
    part = tmp_path / "downloads/lincs/matrix.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER[:50_000])
    # Without a digest nothing could tell, so nothing is resumed; with one, it tells, and all is fetched anew.
    assert get(source()).read_bytes() == BODY and publisher.asked[0].range is None
    (tmp_path / "downloads/lincs/matrix.bin").unlink()
    part.write_bytes(OTHER[:50_000])
    assert get(source(digest=SHA512)).read_bytes() == BODY
    assert [one.range for one in publisher.asked[1:]] == ["bytes=50000-", None]


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 7], ids=["whole", "too long"])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_part_that_needs_no_more(get, source, publisher, tmp_path, size, known):
    part = tmp_path / "downloads/lincs/matrix.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((BODY + OTHER)[:size])
    assert get(source(digest=SHA512, bytes=len(BODY) if known else None)).read_bytes() == BODY
    assert sum(one.sent for one in publisher.asked) == (0 if size == len(BODY) else len(BODY))


# Passing and lasting trouble


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_server_in_trouble_is_asked_again(get, source, publisher, status):
    publisher.plans["/a/matrix.bin"] = [{"status": status}, {"status": status}]
    assert get(source(digest=SHA512)).read_bytes() == BODY
    assert [one.status for one in publisher.asked] == [status, status, 200]


def test_trouble_that_lasts(get, source, publisher, tmp_path):
    publisher.plans["/a/matrix.bin"] = [{"status": 503} for _ in range(10)]
    refusal(get, source(digest=SHA512), "127.0.0.1", "503", "fetch it in a browser and put it at", retries=2)
    assert len(publisher.asked) == 3 and left(tmp_path) == []


def test_the_server_says_when_to_come_back(get, source, publisher):
    publisher.plans["/a/matrix.bin"] = [{"status": 503, "headers": {"Retry-After": "1"}}]
    begun = time.monotonic()
    assert get(source(digest=SHA512)).read_bytes() == BODY and time.monotonic() - begun >= 1


def test_silence_is_given_up_and_asked_again(get, source, publisher):
    publisher.plans["/a/matrix.bin"] = [{"stall": 1}]
    assert get(source(digest=SHA512), timeout_seconds=0.2).read_bytes() == BODY


def test_silence_that_lasts(get, source, publisher):
    publisher.plans["/a/matrix.bin"] = [{"stall": 1} for _ in range(3)]
    refusal(get, source(digest=SHA512), "no answer within 0.2 s", timeout_seconds=0.2, retries=1)


def test_a_server_that_stops_in_the_middle(get, source, publisher):
    publisher.chunk, publisher.pause = 200_000, 1.0
    assert get(source(digest=SHA512), timeout_seconds=0.3, retries=3).read_bytes() == BODY
    assert publisher.asked[-1].range


def test_not_found_is_not_asked_again(get, source, publisher, tmp_path):
    gone = source(name="gone.bin", of={"page": "https://www.example.org/data"})
    said = refusal(get, gone, "gone.bin: could not be fetched", "127.0.0.1", "404 Not Found")
    assert "look on https://www.example.org/data whether it moved" in said
    assert len(publisher.asked) == 1 and left(tmp_path) == []


def test_nobody_listens(get, source):
    refusal(get, source(of={"urls": ["http://127.0.0.1:9/{name}"]}), "127.0.0.1:9", "cannot be reached", retries=0)


def test_no_internet(get, source):
    nowhere = source(of={"urls": ["http://nowhere.invalid/{name}"]})
    refusal(get, nowhere, "nowhere.invalid: its name cannot be resolved", "place the file by hand", retries=0)


def test_no_certificate(get, source, publisher):
    """Our server speaks no TLS at all."""
    https = source(of={"urls": [publisher.url.replace("http:", "https:") + "/a/{name}"]})
    refusal(get, https, "certificate", retries=0)


# Wrong data


def test_a_web_page_in_place_of_data(get, source, publisher, tmp_path):
    publisher.plans["/a/matrix.bin"] = [{"page": True}]
    refusal(get, source(), 'sent a web page ("Quota exceeded") in place of the file')
    assert left(tmp_path) == []


def test_a_web_page_in_place_of_a_part(get, source, publisher, tmp_path):
    """It costs nothing of what came before."""
    publisher.plans["/a/matrix.bin"] = [{"cut": 1000}, {"page": True}]
    refusal(get, source(digest=SHA512), "sent a web page")
    assert left(tmp_path) == ["matrix.bin.part", "matrix.bin.part.json"]
    assert get(source(digest=SHA512)).read_bytes() == BODY and publisher.asked[-1].range == "bytes=1000-"


@pytest.mark.parametrize("name", ["a.gz", "a.zip", "a.png", "a.pk", "a.pkl"])
def test_what_cannot_be_such_a_file(get, source, publisher, tmp_path, name):
    publisher.files[f"/a/{name}"] = b'{"error": "no such object"}'
    refusal(get, source(name=name), f"sent what is no {name[2:]} file")
    assert left(tmp_path) == []


def test_wrong_size_is_seen_before_anything_is_fetched(get, source, publisher, tmp_path):
    refusal(get, source(bytes=300_001), "offers 300000 bytes, not 300001")
    assert left(tmp_path) == []


def test_wrong_bytes(get, source, publisher, tmp_path):
    publisher.files["/a/matrix.bin"] = OTHER
    refusal(get, source(digest=SHA512, bytes=len(OTHER)), "its sha512 begins with", "not with")
    assert left(tmp_path) == [] and len(publisher.asked) == 1


def test_an_empty_answer(get, source, publisher, tmp_path):
    publisher.files["/a/matrix.bin"] = b""
    refusal(get, source(), "is empty")
    assert left(tmp_path) == []


def test_the_servers_own_md5(get, source, publisher, tmp_path):
    publisher.headers["/a/matrix.bin"] = {"x-goog-hash": "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="}
    refusal(get, source(), "has not the md5 that the server names")
    publisher.headers["/a/matrix.bin"] = {"x-goog-hash": "crc32c=AAAAAA==,md5=" + md5_base64(BODY)}
    assert get(source()).read_bytes() == BODY


def test_the_md5_of_one_file_is_not_asked_of_the_next(settings, source, publisher, tmp_path):
    publisher.headers["/a/matrix.bin"] = {"x-goog-hash": "md5=" + md5_base64(BODY)}
    part = tmp_path / "downloads/lincs/other.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER)
    with Transfer(settings()) as transfer:
        fetch(source(), settings(), transfer)
        assert fetch(source(name="other.bin", bytes=len(OTHER)), settings(), transfer).read_bytes() == OTHER


def md5_base64(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


# First use


def test_first_use_is_noted_and_a_later_difference_refused(get, source, publisher, tmp_path):
    path = get(source())
    notes = path.parent / FIRST_USE
    (noted,) = json.loads(notes.read_text()).items()
    assert noted[0] == "matrix.bin" and noted[1]["sha256"] == sha256(BODY) and noted[1]["bytes"] == len(BODY)
    assert noted[1]["from"] == f"{publisher.url}/a/matrix.bin"
    path.unlink()
    assert get(source()).read_bytes() == BODY, "the same again is fine"
    path.unlink()
    publisher.files["/a/matrix.bin"] = OTHER
    said = refusal(get, source(), f"is not the file that came first (sha256 {sha256(BODY)[:12]}, ")
    assert f"remove matrix.bin from {notes}" in said and left(tmp_path) == [FIRST_USE]
    notes.write_text("{}")
    assert get(source()).read_bytes() == OTHER


def test_a_file_that_rotted_is_fetched_again(get, source, tmp_path):
    path = get(source())
    path.write_bytes(BODY[:-1] + b"?")
    assert get(source()).read_bytes() == BODY


def test_the_digest_of_a_file_is_known_without_reading_it(get, source, publisher, tmp_path):
    """That of the table, else that of the first use; of a zip that is packed anew, what is in it was noted."""
    folder = tmp_path / "downloads"
    assert known_digest(source(), folder) is None
    get(source()).write_bytes(OTHER)
    assert known_digest(source(), folder) == f"sha256:{sha256(BODY)}"
    assert known_digest(source(digest=SHA512), folder) == SHA512
    publisher.files["/a/folder.zip"] = pack({"a.txt": b"1"}, 2025)
    packed = source("folder.zip", packed_on_request=True)
    get(packed)
    assert known_digest(packed, folder) is None
    (folder / "lincs" / FIRST_USE).write_text("[]")
    with pytest.raises(InputError, match=r"downloads\.lock\.json: matrix\.bin: is damaged"):
        known_digest(source(), folder)


@pytest.mark.parametrize("content", ['{"matrix.bin": ', "[]", '{"matrix.bin": {"bytes": 1}}'])
def test_damaged_notes(get, source, tmp_path, content):
    path = get(source())
    (path.parent / FIRST_USE).write_text(content)
    path.unlink()
    refusal(get, source(), FIRST_USE)
    assert not path.exists()


def pack(members: dict[str, bytes], year: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def test_a_zip_that_is_packed_anew_each_time(get, source, publisher):
    one = source(name="folder.zip", packed_on_request=True)
    members = {"a.pkl": BODY, "b.pkl": OTHER}
    publisher.files["/a/folder.zip"] = pack(members, 2024)
    publisher.plans["/a/folder.zip"] = [{"cut": 1000}]
    path = get(one)
    assert [asked.range for asked in publisher.asked] == [None, None], "parts of two packings do not fit"
    path.unlink()
    publisher.files["/a/folder.zip"] = pack(members, 2026)
    assert get(one).read_bytes() == publisher.files["/a/folder.zip"]
    path.unlink()
    publisher.files["/a/folder.zip"] = pack(members | {"a.pkl": OTHER}, 2026)
    refusal(get, one, "is not the file that came first")
    publisher.files["/a/folder.zip"] = pack(members, 2026)[:-10]
    refusal(get, one, "is no whole zip file")
    publisher.files["/a/folder.zip"] = pack(members, 2026).replace(BODY[:100], OTHER[:100])
    refusal(get, one, "a.pkl in it is damaged")


# Where it comes from


def test_places_are_asked_in_order(get, source, publisher):
    urls = [f"{publisher.url}/{place}/{{name}}" for place in "zab"]
    publisher.files["/b/matrix.bin"] = BODY
    publisher.files["/a/matrix.bin"] = OTHER
    assert get(source(of={"urls": urls}, digest=SHA512)).read_bytes() == BODY
    assert [one.path for one in publisher.asked] == ["/z/matrix.bin", "/a/matrix.bin", "/b/matrix.bin"]


def test_when_no_place_has_it_all_are_named(get, source, publisher):
    urls = [f"{publisher.url}/z/{{name}}", f"{publisher.url.replace('127.0.0.1', 'localhost')}/a/{{name}}"]
    publisher.files["/a/matrix.bin"] = OTHER
    said = refusal(get, source(of={"urls": urls}, digest=SHA512), "404 Not Found; localhost:", "its sha512 begins")
    assert said.count("127.0.0.1") == 1


def test_a_part_from_one_place_is_completed_at_another(get, source, publisher):
    publisher.files["/b/matrix.bin"] = BODY
    publisher.plans["/a/matrix.bin"] = [{"cut": 100_000}, {"status": 404}]
    urls = [f"{publisher.url}/{place}/{{name}}" for place in "ab"]
    assert get(source(of={"urls": urls}, digest=SHA512)).read_bytes() == BODY
    assert publisher.asked[-1] == Asked("/b/matrix.bin", "bytes=100000-", 206, 200_000)


def test_the_mirror_of_the_config_is_asked_first(get, source, publisher):
    publisher.files[f"/mirror/{PATH}"] = BODY
    assert get(source(digest=SHA512), mirror=f"{publisher.url}/mirror").read_bytes() == BODY
    assert [one.path for one in publisher.asked] == [f"/mirror/{PATH}"]


def test_the_name_may_stand_in_a_query(get, source, publisher):
    url = f"{publisher.url}/geo/download/?acc=GSE1&file={{name}}"
    publisher.files["/geo/download/?acc=GSE1&file=a_b.bin"] = BODY
    assert get(source(name="a_b.bin", of={"urls": [url]}, digest=SHA512)).read_bytes() == BODY


def test_redirections_are_followed(get, source, publisher):
    publisher.files["/a/old.bin"] = b""
    publisher.plans["/a/old.bin"] = [{"status": 302, "headers": {"Location": "/a/matrix.bin"}}]
    assert get(source(name="old.bin", digest=SHA512)).read_bytes() == BODY


@pytest.mark.parametrize("way", ["config", "environment"])
def test_a_proxy_is_used(get, source, publisher, monkeypatch, way):
    """A proxy is asked for the whole address, of a host that does not exist."""
    publisher.files["http://geo.invalid/matrix.bin"] = BODY
    one = source(of={"urls": ["http://geo.invalid/{name}"]}, digest=SHA512)
    if way == "environment":
        monkeypatch.setenv("http_proxy", publisher.url)
    else:
        # The config's comes before the environment's.
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert get(one, proxy=publisher.url if way == "config" else None).read_bytes() == BODY


def test_a_proxy_that_is_not_there(get, source):
    said = refusal(get, source(), "the proxy http://127.0.0.1:9", proxy="http://127.0.0.1:9", retries=0)
    assert "correct downloads.proxy" in said


# By hand, and terms


def test_a_file_placed_by_hand_is_linked_to_and_nothing_fetched(get, source, publisher, tmp_path):
    by_hand = tmp_path / "by_hand" / PATH
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(BODY)
    path = get(source(digest=SHA512))
    assert path.is_symlink() and path.resolve() == by_hand and path.read_bytes() == BODY and publisher.asked == []
    assert left(tmp_path) == ["matrix.bin"]


def test_a_wrong_file_placed_by_hand(get, source, tmp_path):
    by_hand = tmp_path / "by_hand" / PATH
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(OTHER)
    refusal(get, source(digest=SHA512), str(by_hand), "its sha512 begins with", "put the right file there")
    assert left(tmp_path) == []


def test_a_file_that_only_a_person_can_get(get, source, publisher, tmp_path):
    one = source(of={"urls": [], "ask": "the hospital"})
    refusal(get, one, "cannot be fetched: ask the hospital; then put the file at", f"by_hand/{PATH}")
    by_hand = tmp_path / "by_hand" / PATH
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(BODY)
    assert get(one).read_bytes() == BODY


def test_terms_are_accepted_by_name(get, source, publisher, tmp_path):
    one = source(of={"accept": "cohort", "terms": "research only", "page": "https://www.example.org/terms"})
    said = refusal(get, one, 'its terms "research only" are not accepted; read them (https://www.example.org/terms)')
    assert "add cohort to downloads.accept" in said and publisher.asked == []
    assert get(one, accept=["cohort"]).read_bytes() == BODY


# The disk


def test_no_room_is_seen_before_anything_is_fetched(get, source, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    refusal(get, source(digest=SHA512), "300 kB are to come and 200 kB are free", "downloads.folder")
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_came(get, source, publisher, tmp_path, monkeypatch):
    class Full:
        """Takes 100 kB and then fails as a full disk does."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            room = 100_000 - os.fstat(self.file.fileno()).st_size
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data[:room])

    opened = open
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", lambda path, *how, **more: Full(opened(path, *how, **more)), raising=False)
        said = refusal(get, source(digest=SHA512), "the disk is full", "what has come is kept")
        assert said.startswith(str(tmp_path / "downloads" / PATH) + ":")
    assert (tmp_path / "downloads/lincs/matrix.bin.part").stat().st_size == 100_000
    assert get(source(digest=SHA512)).read_bytes() == BODY and publisher.asked[-1].range == "bytes=100000-"


# Kills, and several at once

KILLED = """
import json, sys
from disentangledssl.sources.download import fetch_all
fetch_all([sys.argv[1]], json.loads(sys.argv[2]))
"""


@pytest.fixture
def table(publisher, tmp_path):
    publisher.files["/a/matrix.bin"] = BODY
    path = tmp_path / "sources.yaml"
    path.write_text(
        f"sources:\n  lincs:\n    title: A matrix\n    terms: free\n    urls: ['{publisher.url}/a/{{name}}']\n"
        "    files:\n      - {name: matrix.bin, what: a matrix}\n"
    )
    return str(path)


def test_a_killed_download_leaves_a_part_and_the_next_one_completes_it(settings, table, publisher, tmp_path):
    publisher.chunk, publisher.pause = 10_000, 0.05
    target, part = tmp_path / "downloads" / PATH, tmp_path / f"downloads/{PATH}.part"
    checked = settings(table=table).model_dump()
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(target), json.dumps(checked)])
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 1) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    came = part.stat().st_size
    assert 0 < came < len(BODY) and not target.exists()
    publisher.chunk, publisher.pause = 2**16, 0
    fetch_all([target], checked)
    assert target.read_bytes() == BODY and not part.exists()
    assert publisher.asked[-1].range == f"bytes={came}-"


def _fetch(target: str, settings: dict, done) -> None:
    fetch_all([target], settings)
    done.put(sha256(Path(target).read_bytes()))


def test_two_at_once_fetch_it_once(settings, table, publisher, tmp_path):
    publisher.chunk, publisher.pause = 30_000, 0.05
    target, checked = str(tmp_path / "downloads" / PATH), settings(table=table).model_dump()
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    processes = [context.Process(target=_fetch, args=(target, checked, done)) for _ in range(2)]
    for process in processes:
        process.start()
    assert {done.get(timeout=60) for _ in processes} == {sha256(BODY)}
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [one.sent for one in publisher.asked] == [len(BODY)]
    assert left(tmp_path) == [FIRST_USE, "matrix.bin"]


def test_who_waits_goes_on_where_the_other_failed(settings, table, publisher, tmp_path):
    """The part is unlinked under the one who waits, which must open it anew."""
    part = tmp_path / f"downloads/{PATH}.part"
    part.parent.mkdir(parents=True)
    target, context = str(tmp_path / "downloads" / PATH), multiprocessing.get_context("spawn")
    done = context.Queue()
    arguments = (target, settings(table=table).model_dump(), done)
    with download._claimed(part, None):
        waiting = context.Process(target=_fetch, args=arguments, daemon=True)
        waiting.start()
        time.sleep(3)
        assert waiting.is_alive() and publisher.asked == []
    assert done.get(timeout=60) == sha256(BODY) and len(publisher.asked) == 1


def test_nothing_but_the_transfer_touches_the_network(monkeypatch, settings, table, tmp_path, capsys):
    from disentangledssl.sources.listing import list_downloads

    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: pytest.fail("the network was touched"))
    list_downloads(settings(table=table).model_dump(), {}, tmp_path / "downloads.csv", sys.stdout)
    assert "to be fetched" in capsys.readouterr().out
