"""A publisher for tests: a real web server on loopback that can be told to misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"<!DOCTYPE html>\n<html><head><title>Quota exceeded</title></head><body>Too many users</body></html>"

# Google Drive's page when too many people asked for a file, and that in front of a large one; both with status 200.
DRIVE_REFUSES = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try again later.</p>
</body></html>"""
DRIVE_ASKS = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-subcaption">This file is too large for Google to scan for viruses.</p>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>\
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">\
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="7d0c"></form></body></html>"""


def drive_asks(publisher: Publisher, path: str, body: bytes) -> str:
    """Put a file behind a page as Google Drive does; ``path`` is ``/uc?export=download&id=...``; give where it lies."""
    drive_id = path.rpartition("id=")[2]
    publisher.files[path] = DRIVE_ASKS.format(action=f"{publisher.url}/download", id=drive_id).encode()
    publisher.headers[path] = {"Content-Type": "text/html; charset=utf-8"}
    behind = f"/download?id={drive_id}&export=download&confirm=t&uuid=7d0c"
    publisher.files[behind] = body
    return behind


@dataclass
class Asked:
    """One request as the server saw it: path, Range header, status and bytes of the answer."""

    path: str
    range: str | None
    status: int
    sent: int


class Publisher:
    """Serves ``files`` by path; answers are changed, one request each, by what is queued in ``plans[path]``.

    A plan is a dict with any of: ``status`` (with ``headers``), ``cut`` (close after so many bytes), ``body`` (other
    bytes), ``page`` (a web page with status 200), ``stall`` (seconds before the body).

    Parameters
    ----------
    ranges : bool
        Whether Range requests are understood.
    chunk, pause : int, float
        Send so many bytes at once and wait so many seconds in between.
    """

    def __init__(self, ranges: bool = True):
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, Mapping[str, str]] = {}
        self.plans: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[Asked] = []
        self.ranges, self.chunk, self.pause, self.lengths = ranges, 2**16, 0.0, True
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Publisher:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def etag(self, path: str) -> str:
        """Version of a file: a hash of its bytes."""
        return f'"{hash(self.files[path]):x}"'

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve one request."""
        path, wanted = request.path, request.headers.get("Range")
        queue = self.plans.get(path, [])
        plan = queue.pop(0) if queue else {}
        status, headers = plan.get("status", 200), dict(plan.get("headers", {}))
        body = plan.get("body", self.files.get(path))
        if plan.get("page"):
            body, headers = PAGE, {"Content-Type": "text/html; charset=utf-8", **headers}
        elif body is None or status != 200:
            status, body = (404 if status == 200 else status), b""
        else:
            headers = {"ETag": self.etag(path), "Content-Type": "application/octet-stream"} | headers
            headers |= self.headers.get(path, {})
            condition = request.headers.get("If-Range")
            if wanted and self.ranges and condition in (None, headers["ETag"]):
                begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
                whole = len(body)
                if begin >= whole:
                    status, body, headers["Content-Range"] = 416, b"", f"bytes */{whole}"
                else:
                    status, headers["Content-Range"] = 206, f"bytes {begin}-{whole - 1}/{whole}"
                    body = body[begin:]
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        cut = plan.get("cut")
        if self.lengths:
            request.send_header("Content-Length", str(len(body)))
        if cut is not None or not self.lengths:
            request.close_connection = True
        time.sleep(plan.get("stall", 0))
        end = len(body) if cut is None else min(cut, len(body))
        # Noted before the other side can know of it.
        asked = Asked(path, wanted, status, 0)
        self.asked.append(asked)
        try:
            request.end_headers()
            while asked.sent < end:
                piece = body[asked.sent : min(asked.sent + self.chunk, end)]
                asked.sent += len(piece)
                request.wfile.write(piece)
                time.sleep(self.pause)
        except OSError:  # the other side is gone
            request.close_connection = True
