"""The table of sources: every mistake ends in one sentence; the repository's own table is whole and right."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path

import pytest
import yaml

from disentangledssl.config import DownloadSettings
from disentangledssl.errors import InputError
from disentangledssl.sources.catalogue import load_catalogue
from disentangledssl.sources.listing import list_downloads

REPOSITORY = Path(__file__).parents[2]
TABLE = REPOSITORY / "workflow" / "resources" / "sources.yaml"
IMAGES = "rxrx19a/images/{experiment}/Plate{plate}/{well}_s{site}_w{channel}.png"
GOOD = {
    "title": "A screen",
    "terms": "free",
    "urls": ["https://www.example.org/{name}"],
    "files": [{"name": "a.bin", "what": "wells"}],
}


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(TABLE)


@pytest.fixture
def write(tmp_path):
    """Write a table of one source, GOOD with changes; gives its path."""

    def one(file: dict | None = None, **changes) -> Path:
        source = {key: value for key, value in (GOOD | changes).items() if value is not None}
        if file is not None:
            source["files"] = [GOOD["files"][0] | file]
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump({"sources": {"screen": source}}))
        return path

    return one


# The repository's own table


def test_every_file_has_terms_and_a_way_to_get_it(catalogue):
    for source in catalogue.sources.values():
        assert source.settings.terms and (source.urls or source.settings.ask)
        for url in source.urls:
            assert "{name}" not in url and " " not in url


def test_digests_are_the_publishers(catalogue):
    """GEO's files are pinned; the one that is bundled has the size and digest of the table."""
    for path, source in catalogue.sources.items():
        if source.group in ("lincs", "lincs_phase2"):
            assert source.file.bytes and source.file.digest, path
    name = "GSE70138_Broad_LINCS_pert_info_2017-03-06.txt.gz"
    bundled = (REPOSITORY / "data" / "lincs_meta" / name).read_bytes()
    file = catalogue.find(f"lincs_phase2/{name}").file
    assert (file.bytes, file.digest) == (len(bundled), f"sha512:{hashlib.sha512(bundled).hexdigest()}")


def test_addresses(catalogue):
    name = "GSE92742_Broad_LINCS_gene_info.txt.gz"
    assert catalogue.find(f"lincs/{name}").urls == (
        f"https://ftp.ncbi.nlm.nih.gov/geo/series/GSE92nnn/GSE92742/suppl/{name}",
        f"https://www.ncbi.nlm.nih.gov/geo/download/?acc=GSE92742&format=file&file={name}",
    )
    image = catalogue.find("rxrx19a/images/HRCE-1/Plate12/AA02_s3_w5.png")
    assert image.urls == ("https://storage.googleapis.com/rxrx/RxRx19a/images/HRCE-1/Plate12/AA02_s3_w5.png",)
    assert image.path == "rxrx19a/images/HRCE-1/Plate12/AA02_s3_w5.png"


def test_images_are_fetched_by_the_well(catalogue):
    of_a_well = catalogue.together(IMAGES)
    assert len(of_a_well) == len(set(of_a_well)) == 20
    for path in of_a_well:
        catalogue.find(path.format(experiment="VERO-2", plate=3, well="B07"))


@pytest.mark.parametrize(
    "path", ["rxrx19a/images/HUVEC-1/Plate1/AA02_s1_w1.png", "rxrx19a/images/HRCE-1/Plate1/AA02_s5_w1.png", "lincs/x"]
)
def test_what_is_not_in_the_table(catalogue, path):
    with pytest.raises(InputError, match=re.escape(f"has no file {path}; snakemake downloads lists what it has.")):
        catalogue.find(path)


def test_a_slip_in_a_name(catalogue):
    with pytest.raises(InputError, match=r"did you mean lincs/GSE92742_Broad_LINCS_gene_info\.txt\.gz\?"):
        catalogue.find("lincs/GSE92742_Broad_LINCS_geneinfo.txt.gz")


# Mistakes


FIELDS = {"name": "{well}.png", "fields": {"well": "[A-Z]"}}
MISTAKES = {
    "typo": ({"titel": "x"}, "sources.screen: titel is no setting; did you mean title?"),
    "no terms": ({"terms": None}, "sources.screen.terms: is missing; correct it; docs/downloads.md"),
    "no address": ({"urls": None}, "sources.screen.files.0.urls: is missing, and so is ask; give urls"),
    "both ways": ({"ask": "them"}, "sources.screen.files.0.urls: is given beside ask"),
    "address": ({"urls": ["ftp://x/{name}"]}, "sources.screen.urls.0: string should match"),
    "digest": ({"file": {"digest": "sha1:00"}}, "sources.screen.files.0.digest: string should match"),
    "size": ({"file": {"bytes": "many"}}, "sources.screen.files.0.bytes: input should be a valid integer"),
    "twice": ({"files": GOOD["files"] * 2}, "files.0.name: a.bin is listed twice; list it once"),
    "outside": ({"file": {"name": "x/../../a"}}, "files.0.name: x/../../a leaves its folder"),
    "packed": ({"file": {"packed_on_request": True, "bytes": 3}}, "files.0.bytes: is given for a zip that is packed"),
    "many": ({"file": FIELDS | {"bytes": 3}}, "files.0.bytes: is given for many files"),
    "field": ({"file": {"name": "{well}.png"}}, "files.0.fields: well is in the name, but not defined"),
    "no field": ({"file": {"fields": {"well": "[A-Z]"}}}, "files.0.fields: well is defined, but not in the name"),
    "pattern": ({"file": FIELDS | {"fields": {"well": "[A-Z"}}}, "files.0.fields.well: '[A-Z' is no regular"),
    "empty": ({"file": FIELDS | {"fields": {"well": []}}}, "files.0.fields.well: is empty; list at least one value"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_the_table(write, changes, said):
    with pytest.raises(InputError) as caught:
        load_catalogue(write(**changes))
    sentences = str(caught.value).splitlines()
    assert any(said in sentence for sentence in sentences), sentences
    assert all("sources.yaml: " in sentence and sentence.endswith((".", "?")) for sentence in sentences)


@pytest.mark.parametrize(
    ("content", "said"),
    [("sources: {", "is not YAML"), ("", "holds no sources"), ("- a", "holds no sources"), (None, "no such table")],
)
def test_no_table(tmp_path, content, said):
    path = tmp_path / "sources.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        load_catalogue(path)
    assert "\n" not in str(caught.value)


def test_accepted_names_are_checked(write):
    catalogue = load_catalogue(write(accept="cohort"))
    catalogue.check_accepted(["cohort"])
    with pytest.raises(InputError, match=r"downloads.accept: no source asks for cohrt; did you mean cohort\?"):
        catalogue.check_accepted(["cohrt"])
    with pytest.raises(InputError, match="names that are asked for: none"):
        load_catalogue(write()).check_accepted(["x"])


# The list


@pytest.fixture
def listed(write, tmp_path):
    """What the list says: rows of the CSV file by name, and the lines on the terminal."""

    def run(needed=None, accept=(), table=None, **changes):
        settings = DownloadSettings(
            folder=str(tmp_path / "downloads"), by_hand=str(tmp_path / "by_hand"), table=str(table or write(**changes)),
            accept=list(accept), mirror=None, proxy=None, retries=0, timeout_seconds=1.0,
        )  # fmt: skip
        terminal = io.StringIO()
        list_downloads(settings.model_dump(), needed or {}, tmp_path / "out" / "downloads.csv", terminal)
        with (tmp_path / "out" / "downloads.csv").open(newline="") as lines:
            rows = {Path(row["file"]).name: row for row in csv.DictReader(lines)}
        return rows, terminal.getvalue()

    return run


def put(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_states_of_a_file(listed, tmp_path):
    def state(**more) -> str:
        rows, terminal = listed(file={"bytes": 1000}, **more)
        assert rows["a.bin"]["state"] in terminal
        return rows["a.bin"]["state"]

    assert state() == "to be fetched"
    assert state(urls=None, ask="them") == "to be placed"
    put(tmp_path / "downloads/screen/a.bin.part", 400)
    assert state() == "400 bytes there"
    put(tmp_path / "by_hand/screen/a.bin", 1000)
    assert state() == "placed by hand"
    put(tmp_path / "downloads/screen/a.bin", 999)
    assert state() == "wrong size: 999 bytes"
    put(tmp_path / "downloads/screen/a.bin", 1000)
    assert state() == "there"


def test_terms_that_are_not_accepted_are_named(listed, tmp_path):
    asks = {**GOOD, "accept": "cohort"}
    (tmp_path / "asks.yaml").write_text(yaml.safe_dump({"sources": {"screen": asks}}))
    assert "accept cohort first" in listed(table=tmp_path / "asks.yaml")[1]
    assert "to be fetched" in listed(table=tmp_path / "asks.yaml", accept=["cohort"])[1]


def test_images_that_are_there_are_counted(listed, tmp_path):
    file = {"name": "P{plate}/{site}.png", "fields": {"plate": "[0-9]+", "site": [1, 2]}}
    put(tmp_path / "downloads/screen/P3/1.png", 1)
    put(tmp_path / "downloads/screen/P3/2.png.part", 1)
    rows, _ = listed(file=file)
    assert rows["{site}.png"]["state"] == "1 there"


def test_what_a_config_needs_is_said(listed, tmp_path):
    needed = {"mine": [f"{tmp_path}/downloads/screen/a.bin"], "bundled": ["data/x.parquet"]}
    rows, terminal = listed(needed, file={"bytes": 52_400_000_000})
    assert rows["a.bin"]["needed_by"] == "mine" and rows["a.bin"]["bytes"] == "52400000000"
    assert "needs 1 file that is not there, 52.4 GB" in terminal and "terms: free" in terminal
    put(tmp_path / "downloads/screen/a.bin", 3)
    _, terminal = listed(needed)
    assert "All that mine needs is there." in terminal
    _, terminal = listed({"bundled": []})
    assert "None of these is needed by this config (bundled)." in terminal
