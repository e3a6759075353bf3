"""Fetch one file of the table of sources, so that its final name only ever holds the whole, right file.

``requests`` and urllib3's ``Retry`` do the transfer (docs/downloads.md says why they do); this module adds what they
leave out: going on from a part, the checks, the notes of first use, and one sentence for all that can go wrong.
"""

from __future__ import annotations

import base64
import datetime
import errno
import fcntl
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, NewConnectionError, TimeoutError
from urllib3.util import Retry

from disentangledssl import __version__
from disentangledssl.config import DownloadSettings
from disentangledssl.errors import InputError
from disentangledssl.files import read_json, write_json
from disentangledssl.sources.catalogue import Source, load_catalogue, spell_bytes
from disentangledssl.sources.drive import address_behind, is_drive

FIRST_USE = "downloads.lock.json"
TEMPORARY = (429, 500, 502, 503, 504)
BACKOFF = 1.0  # seconds; the waits are 0, 2, 4, 8, ... of them
PROGRESS = 2**20  # bytes; a connection that brought so many has earned new attempts
CHUNK = 2**16  # bytes that a kill or a silence can cost
SECONDS_BETWEEN_LINES = 10
PAGE_BYTES = 2**20  # more than any page of Google Drive
LEAST = 0.9  # of a size that is known roughly
# What files of these kinds begin with: a page or a message that came instead does not.
BEGINNINGS = {".gz": b"\x1f\x8b", ".zip": b"PK", ".png": b"\x89PNG", ".pk": b"\x80", ".pkl": b"\x80"}
# What they end with: a file of unknown size that was cut short would be trusted as the first.
ENDINGS = {".pk": b".", ".pkl": b"."}

log = logging.getLogger(__name__)


class Refused(Exception):
    """One place did not give the right file; another may."""

    def __init__(self, problem: str, mend: str = ""):
        super().__init__(problem)
        self.mend = mend


def fetch_all(paths: Iterable[str | os.PathLike[str]], settings: Mapping[str, Any], terminal: TextIO | None = None):
    """Fetch files by their path under the downloads folder, over one connection where the server lets us.

    Parameters
    ----------
    paths : iterable of path
        ``<folder>/<source>/<name>``.
    settings : mapping
        ``downloads`` of the config.
    terminal : text stream or None
        Where progress is shown, if that is a terminal.

    Raises
    ------
    InputError
        The first file that cannot be had.
    """
    checked = DownloadSettings.model_validate(settings)
    catalogue = load_catalogue(checked.table)
    with Transfer(checked) as transfer:
        for path in paths:
            fetch(catalogue.find(Path(path).relative_to(checked.folder).as_posix()), checked, transfer, terminal)


def fetch(source: Source, settings: DownloadSettings, transfer: Transfer, terminal: TextIO | None = None) -> Path:
    """Make sure that a file is there and is the right one; return its path.

    A file that is there already is checked and kept. One that a person put under ``by_hand`` is checked and linked
    to. Else the mirror of the config and the places of the table are asked in order.

    Raises
    ------
    InputError
        If its terms were not accepted, nobody gives it, what came is wrong, or the disk is full. Nothing is left
        under the final name; of an interrupted transfer the part stays, to go on from.
    """
    target, by_hand = Path(settings.folder, source.path), Path(settings.by_hand, source.path)
    terms = source.settings
    if terms.accept and terms.accept not in settings.accept:
        where = f" ({terms.page})" if terms.page else ""
        mend = f"read them{where} and, if you agree, add {terms.accept} to downloads.accept in your config"
        raise InputError(target, "", f'its terms "{terms.terms}" are not accepted', mend)
    if target.exists():
        try:
            check(target, source, target, "found there")
            return target
        except Refused as problem:
            log.warning("%s: %s; it is fetched again", target, problem)
            target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if by_hand.exists():
        try:
            check(by_hand, source, target, "placed by hand")
        except Refused as problem:
            raise InputError(by_hand, "", str(problem), problem.mend or "put the right file there") from None
        link = target.with_name(f"{target.name}.{os.getpid()}.part")
        link.symlink_to(by_hand.resolve())
        os.replace(link, target)
        return target
    if not source.urls:
        raise InputError(target, "", f"cannot be fetched: ask {terms.ask}", f"then put the file at {by_hand}")
    mirror = [f"{settings.mirror}/{source.path}"] if settings.mirror else []
    part = target.with_name(f"{target.name}.part")
    with _claimed(part, terminal) as file:
        # Another process may have brought it while this one waited.
        if not target.exists():
            _from_anywhere([*mirror, *source.urls], file, part, source, target, by_hand, transfer, terminal)
            os.replace(part, target)
            _notes(part).unlink(missing_ok=True)
    return target


def _from_anywhere(
    urls: list[str], file: BinaryIO, part: Path, source: Source, target: Path, by_hand: Path,
    transfer: Transfer, terminal: TextIO | None,
) -> None:  # fmt: skip
    """Bring the file from the first place that gives the right one."""
    refused: list[tuple[str, Refused]] = []
    for url in urls:
        try:
            for afresh in (False, True):
                resumed = transfer.bring(url, file, part, source, terminal)
                try:
                    check(part, source, target, url, transfer.headers)
                    return
                except Refused as problem:
                    _empty(file, part)
                    if afresh or not resumed:
                        raise
                    # The part may have been of another version of the file.
                    log.warning("%s: %s, after going on from a part; starting afresh", url, problem)
        except Refused as problem:
            log.warning("%s: %s", url, problem)
            refused.append((url, problem))
    places = "; ".join(f"{urlsplit(url).netloc}: {problem}" for url, problem in refused)
    page = f"look on {source.settings.page} whether it moved, or " if source.settings.page else ""
    mend = f"{page}fetch it in a browser and put it at {by_hand}"
    last, problem = refused[-1]
    if is_drive(last):
        mend = f"wait a day if too many asked for it, or fetch it in a browser from {last} and put it at {by_hand}"
    raise InputError(target, "", f"could not be fetched ({places})", problem.mend or mend)


class Transfer:
    """A session with its retries: everything that touches the network.

    ``headers`` are those of the last answer that brought data.
    """

    def __init__(self, settings: DownloadSettings, backoff: float = BACKOFF):
        self.settings, self.headers = settings, {}
        self.retry = Retry(
            total=settings.retries, backoff_factor=backoff, status_forcelist=TEMPORARY, raise_on_status=False
        )
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": f"disentangledssl/{__version__}", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=self.retry))

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *error: object) -> None:
        self.session.close()

    def bring(self, url: str, file: BinaryIO, part: Path, source: Source, terminal: TextIO | None = None) -> bool:
        """Complete the part from one place; tell whether it went on from what was there.

        Raises
        ------
        Refused
            If the place does not give the file.
        InputError
            If the disk is full.
        """
        most = part.stat().st_size
        retry, resumed, self.headers = self.retry, False, {}
        if most and most == source.file.bytes:
            return True
        while True:
            try:
                resumed = self._attempt(url, file, part, source, terminal) or resumed
                return resumed
            except requests.RequestException as error:
                # The adapter has spent its retries.
                raise Refused(*self._in_words(error)) from error
            except HTTPError as error:
                size = part.stat().st_size
                # Measured by the most that ever came, or a server that always starts afresh would be asked for ever.
                if size - most >= PROGRESS:
                    retry, most = self.retry, size
                try:
                    retry = retry.increment("GET", url, error=error)
                except MaxRetryError:
                    mend = "run the same command again, which goes on from there"
                    raise Refused(f"the connection broke, {spell_bytes(size)} are kept", mend) from error
                log.info("%s: the connection broke after %s (%r)", url, spell_bytes(size), error)
                retry.sleep()

    def _attempt(self, url: str, file: BinaryIO, part: Path, source: Source, terminal: TextIO | None) -> bool:
        """Ask once and write what comes; tell whether it went on from what was there."""
        size = part.stat().st_size
        for headers in (self._range(url, part, source) if size else {}, {}):
            with self._get(url, headers) as response:
                status, place = response.status_code, response.headers.get("Content-Range", "")
                if status == 416 and size and place == f"bytes */{size}":
                    return True
                if status not in (206, 416) or (status == 206 and place.startswith(f"bytes {size}-")):
                    return self._write(response, url, file, part, source, terminal)
            # Of what is there, the server cannot give the rest.
            _empty(file, part)
            size = 0
        raise Refused(f"{status} {response.reason}, to a request for the whole file")

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        if is_drive(url):
            # Without a Range, which would be one of the page.
            with self._ask(url, {}) as response:
                if response.status_code == 200 and response.headers.get("Content-Type", "").startswith("text/html"):
                    page = response.raw.read(PAGE_BYTES, decode_content=True).decode(errors="replace")
                    try:
                        url = address_behind(page)
                    except ValueError as said:
                        raise Refused(f'Google Drive sent a web page ("{said}") in place of the file') from None
        return self._ask(url, headers)

    def _ask(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        proxies = {"http": self.settings.proxy, "https": self.settings.proxy} if self.settings.proxy else None
        seconds = self.settings.timeout_seconds
        return self.session.get(url, stream=True, headers=dict(headers), proxies=proxies, timeout=(seconds, seconds))

    def _range(self, url: str, part: Path, source: Source) -> dict[str, str]:
        """Ask to go on where that cannot mix two versions: the digest would tell, or the server."""
        size = part.stat().st_size
        try:
            notes = json.loads(_notes(part).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            notes = {}
        version = notes.get("version") if notes.get("url") == url else None
        if source.file.packed_on_request or not (version or source.file.digest):
            return {}
        return {"Range": f"bytes={size}-"} | ({"If-Range": version} if version else {})

    def _write(
        self, response: requests.Response, url: str, file: BinaryIO, part: Path, source: Source, terminal: TextIO | None
    ) -> bool:
        if response.status_code not in (200, 206):
            raise Refused(f"{response.status_code} {response.reason}")
        resumed = response.status_code == 206
        size = part.stat().st_size if resumed else 0
        coming = response.headers.get("Content-Length")
        total = size + int(coming) if coming else None
        chunks = response.raw.stream(CHUNK, decode_content=False)
        # All this before a part is given up for what comes: a page of a passing fault must not cost 40 GB.
        if not resumed:
            first = next(chunks, b"")
            _check_beginning(first, source, response.headers.get("Content-Type", ""))
            chunks = itertools.chain([first], chunks)
        if total is not None and source.file.bytes not in (None, total):
            raise Refused(f"offers {total} bytes, not {source.file.bytes}")
        _check_space(part, (total or source.file.bytes or source.file.about or 0) - part.stat().st_size)
        if not resumed:
            _empty(file, part)
            # Not of a weak ETag: equal ones promise no equal bytes.
            etag = response.headers.get("ETag", "")
            version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
            write_json(_notes(part), {"url": url, "version": version})
        self.headers = response.headers
        shown = terminal is not None and terminal.isatty()
        said = time.monotonic()
        with tqdm(
            total=total, initial=size, desc=source.file.name[:40], file=terminal, disable=not shown, leave=False,
            unit="B", unit_scale=True,
        ) as bar:  # fmt: skip
            for chunk in chunks:
                _append(file, part, chunk)
                size += len(chunk)
                bar.update(len(chunk))
                if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                    said = time.monotonic()
                    log.info("%s: %s of %s", url, spell_bytes(size), spell_bytes(total) if total else "unknown")
        return resumed

    def _in_words(self, error: requests.RequestException) -> tuple[str, str]:
        """Say what a failed request means, and what to do about it."""
        cause = error.args[0] if error.args else error
        cause = getattr(cause, "reason", None) or cause
        proxy = "correct downloads.proxy in the config, or HTTPS_PROXY in the environment"
        if isinstance(error, requests.exceptions.ProxyError):
            return f"the proxy {self.settings.proxy or 'of the environment'} does not let us through", proxy
        if isinstance(error, (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema)):
            return f"cannot be asked ({error})", proxy
        if isinstance(error, requests.exceptions.SSLError):
            mend = "where a proxy opens connections, name its certificates in REQUESTS_CA_BUNDLE"
            return "its certificate cannot be verified", mend
        if isinstance(cause, NameResolutionError):
            return "its name cannot be resolved", "connect to the internet, set a proxy, or place the file by hand"
        # A refused connection counts as a timeout to both libraries.
        timeout = isinstance(error, requests.Timeout) or isinstance(cause, TimeoutError)
        if timeout and not isinstance(cause, NewConnectionError):
            return f"no answer within {self.settings.timeout_seconds:g} s", ""
        return f"cannot be reached ({' '.join(str(cause).rpartition(': ')[2].split())})", ""


def check(path: Path, source: Source, target: Path, origin: str, headers: Mapping[str, str] | None = None) -> None:
    """Check size, beginning and digest of a file that is to become ``target``; without a digest, note it or compare.

    Raises
    ------
    Refused
        If it is not the right file.
    """
    size, file = path.stat().st_size, source.file
    if file.bytes is not None and size != file.bytes:
        raise Refused(f"holds {size} bytes, not {file.bytes}")
    if not size:
        raise Refused("is empty")
    if file.about is not None and not file.fields and size < LEAST * file.about:
        raise Refused(f"holds {spell_bytes(size)}, not about {spell_bytes(file.about)}")
    with path.open("rb") as opened:
        _check_beginning(opened.read(2**13), source)
        opened.seek(-1, os.SEEK_END)
        last, suffix = opened.read(), Path(file.name).suffix
    if last != ENDINGS.get(suffix, last):
        raise Refused(f"is cut short, as its end is not that of a {suffix[1:]} file")
    if file.digest:
        kind, _, expected = file.digest.partition(":")
        found = digest(path, kind)
        if found != expected:
            log.error("%s: %s is %s, not %s", path, kind, found, expected)
            raise Refused(f"its {kind} begins with {found[:12]}, not with {expected[:12]}")
        return
    # Google's servers name the md5 of what is stored.
    sent = re.search(r"md5=([\w+/]{22}==)", (headers or {}).get("x-goog-hash", ""))
    if sent and base64.b64decode(sent[1]).hex() != digest(path, "md5"):
        raise Refused("what arrived has not the md5 that the server names")
    found = _digest_of_contents(path) if file.packed_on_request else digest(path, "sha256")
    _compare_with_first_use(target, {"bytes": size, "sha256": found, "from": origin})


def digest(path: Path, kind: str) -> str:
    """Return a file's digest in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _digest_of_contents(path: Path) -> str:
    """Digest of what is in a zip: names, sizes and checksums, which are verified."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = sorted((one.filename, one.file_size, one.CRC) for one in archive.infolist())
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as error:
        raise Refused(f"is no whole zip file ({error})") from None
    if damaged:
        raise Refused(f"{damaged} in it is damaged")
    return hashlib.sha256(repr(members).encode()).hexdigest()


def known_digest(source: Source, folder: str | os.PathLike[str]) -> str | None:
    """Return the digest of a whole file as the table has it, or else as it was noted when the file was first used.

    Of a zip that is packed anew each time there is none: what is in it was noted.

    Raises
    ------
    InputError
        If the notes of first use are damaged.
    """
    if source.file.digest or source.file.packed_on_request:
        return source.file.digest
    target = Path(folder, source.path)
    first = _first_use(target, _first_uses(target))
    return f"sha256:{first[0]}" if first else None


def _first_uses(target: Path) -> Any:
    notes = target.parent / FIRST_USE
    return read_json(notes) if notes.exists() else {}


def _first_use(target: Path, known: Any) -> tuple[str, str] | None:
    """The sha256 and the date that were noted of a file, if they were."""
    try:
        first = known.get(target.name)
        return None if first is None else (str(first["sha256"]), str(first["date"]))
    except (AttributeError, KeyError, TypeError) as error:
        notes = target.parent / FIRST_USE
        raise InputError(notes, target.name, f"is damaged ({error!r})", "restore it from a copy") from None


def _compare_with_first_use(target: Path, record: dict[str, Any]) -> None:
    """Note a file's digest when it is first used; later on, refuse another."""
    notes = target.parent / FIRST_USE
    with open(notes.with_name(f".{FIRST_USE}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _first_uses(target)
        first = _first_use(target, known)
        if first is None:
            write_json(notes, {**known, target.name: {**record, "date": datetime.date.today().isoformat()}})
            return
    (sha256, date), now = first, record["sha256"]
    if sha256 != now:
        log.error("%s: sha256 is %s, not %s", target, now, sha256)
        seen = f"sha256 {sha256[:12]}, {date}"
        mend = f"if the change is meant, remove {target.name} from {notes}, and what was made from the old file"
        raise Refused(f"is not the file that came first ({seen}): its sha256 begins with {now[:12]}", mend)


def _check_beginning(first: bytes, source: Source, kind: str = "") -> None:
    suffix = Path(source.file.name).suffix
    expected = BEGINNINGS.get(suffix)
    if expected and first.startswith(expected):
        return
    start = first[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (kind.startswith("text/html") and suffix != ".html"):
        title = re.search(rb"<title>\s*(.{1,60}?)\s*</title>", first[:10000], re.I | re.S)
        said = f' ("{title[1].decode(errors="replace")}")' if title else ""
        raise Refused(f"sent a web page{said} in place of the file")
    if expected and first:
        raise Refused(f"sent what is no {suffix[1:]} file")


def _notes(part: Path) -> Path:
    """Beside a part: where it came from, and of which version it is."""
    return part.with_name(f"{part.name}.json")


def _empty(file: BinaryIO, part: Path) -> None:
    file.truncate(0)
    _notes(part).unlink(missing_ok=True)


def _append(file: BinaryIO, part: Path, chunk: bytes) -> None:
    try:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _no_space(part, f"the disk is full ({error.strerror})")
        raise


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        _no_space(part, f"{spell_bytes(needed)} are to come and {spell_bytes(free)} are free")


def _no_space(part: Path, problem: str) -> NoReturn:
    mend = "free some space, or name a folder on a larger disk in downloads.folder; what has come is kept"
    raise InputError(part.with_suffix(""), "", problem, mend)


@contextmanager
def _claimed(part: Path, terminal: TextIO | None) -> Iterator[BinaryIO]:
    """Open a part to append to, as the only process that does.

    The part itself is locked, and no lock outlives its process. Who waited may find that the part has become the
    final file, or was removed, and opens it anew.
    """
    while True:
        file = open(part, "ab", buffering=0)  # noqa: SIM115 (open for as long as the lock is held)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{part.with_suffix('')}: another process is fetching it; waiting"
            log.info(message)
            if terminal is not None:
                print(message, file=terminal, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
                break
        except FileNotFoundError:
            pass
        file.close()
    try:
        yield file
    finally:
        if part.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(part)) and not part.stat().st_size:
            part.unlink()
            _notes(part).unlink(missing_ok=True)
        file.close()
