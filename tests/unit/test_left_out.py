"""Why a data set is not run: the reason comes from the table of sources, the config and the files that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from disentangledssl.config import DownloadSettings
from disentangledssl.sources.catalogue import load_catalogue
from disentangledssl.sources.left_out import WIDTH, Reason, lines_of, reason_of

REPOSITORY = Path(__file__).parents[2]
IMAGE = "downloads/rxrx19a/images/HRCE-1/Plate1/AA02_s1_w1.png"
METADATA = "downloads/rxrx19a/RxRx19a-metadata.zip"
TABLE = "downloads/by_hand/rxrx19a/cellprofiler.parquet"


@pytest.fixture
def reason(tmp_path, monkeypatch):
    """Reason of a data set that is made from these files, by the repository's own table, in an empty folder."""
    catalogue = load_catalogue(REPOSITORY / "workflow/resources/sources.yaml")
    settings = yaml.safe_load((REPOSITORY / "config.yaml").read_text())["downloads"]
    monkeypatch.chdir(tmp_path)

    def found(*files: str, there: tuple[str, ...] = (), accept: tuple[str, ...] = ()) -> Reason:
        for file in there:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).touch()
        return reason_of(files, catalogue, DownloadSettings.model_validate(settings | {"accept": list(accept)}))

    return found


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], Reason("unlisted")),
        (["downloads/mustard/sarcasm.pkl"], Reason("download", "about 208 MB from drive.google.com")),
        (["downloads/lincs_curated/infocore.zip"], Reason("download", "unknown size from www.dropbox.com")),
        # Exact sizes of two files; one of a million; one that nobody knows beside one that is known.
        (
            [f"downloads/lincs/GSE92742_Broad_LINCS_{name}_info.txt.gz" for name in ("inst", "pert")],
            Reason("download", "13.2 MB from ftp.ncbi.nlm.nih.gov"),
        ),
        ([IMAGE], Reason("download", "about 445 GB from storage.googleapis.com")),
        ([METADATA, IMAGE], Reason("download", "445 GB or more from storage.googleapis.com")),
        # Of several hurdles the highest; no file of the table is one that a person has to find.
        ([METADATA, TABLE], Reason("place", TABLE)),
        (["downloads/mosi/mosi_data.pkl"], Reason("terms", "mosi_research_use, about 154 MB from drive.google.com")),
    ],
)
def test_reason_is_what_the_table_says_of_the_files(reason, files, expected):
    assert reason(*files) == expected


def test_what_only_people_with_access_have_is_asked_for(reason):
    kind, detail = reason("downloads/mimic/im.pk")
    assert kind == "ask" and detail.startswith("downloads/by_hand/mimic/im.pk; ask first PhysioNet for access")


def test_a_file_that_is_there_is_no_reason(reason):
    assert reason("downloads/mustard/sarcasm.pkl", there=["downloads/mustard/sarcasm.pkl"]) == Reason("unlisted")
    assert reason("downloads/mimic/im.pk", there=["downloads/by_hand/mimic/im.pk"]) == Reason("unlisted")
    assert reason(METADATA, TABLE, there=[TABLE]).kind == "download"


def test_accepted_terms_leave_the_download_and_a_placed_file_leaves_the_terms(reason):
    file, accepted = "downloads/mosi/mosi_data.pkl", ("mosi_research_use",)
    assert reason(file, accept=accepted) == Reason("download", "about 154 MB from drive.google.com")
    assert reason(file, there=["downloads/by_hand/mosi/mosi_data.pkl"]) == Reason("terms", "mosi_research_use")
    assert reason(file, accept=accepted) == Reason("unlisted")


def test_lines_are_grouped_by_reason_and_fit_a_terminal():
    details = {name: Reason("download", f"about {k} GB from example.org") for k, name in enumerate("abcdefgh")}
    lines = lines_of({"x": Reason("terms", "x_use, 1 GB from example.org"), **details, "mfeat": Reason("unlisted"),
                      "mosi": Reason("unlisted")})  # fmt: skip
    assert lines[:2] == [
        "Defined, but not run by this config:",
        "  only not listed under datasets: mfeat, mosi",
    ]
    assert lines[2].startswith("  to be downloaded: a (about 0 GB from example.org); b (about")
    assert lines[3].startswith("    ") and lines[-1].startswith("  to be downloaded, after terms are accepted by name")
    assert max(map(len, lines)) <= WIDTH
    assert lines_of({}) == []
    assert str(Reason("download", "1 GB from a")) == "to be downloaded (1 GB from a)"
