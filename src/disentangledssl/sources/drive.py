"""Google Drive: which address lies behind the page that it shows in place of a large file.

Whoever asks Drive for a large file gets a page first, with a form that asks whether to download it unscanned. Its
layout has changed several times, so it is read by ``gdown``, which follows; nothing else of ``gdown`` is used, for
the reasons in docs/downloads.md.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit


def is_drive(url: str) -> bool:
    """Whether this is the address of a file on Google Drive, ``https://drive.google.com/uc?export=download&id=...``.

    Known by its form, not its host, so that a server of one's own can stand in.

    >>> is_drive("https://drive.google.com/uc?export=download&id=1_Xd"), is_drive("https://example.org/uc/a.pkl")
    (True, False)
    """
    parts = urlsplit(url)
    return parts.path == "/uc" and "id" in parse_qs(parts.query)


def address_behind(page: str) -> str:
    """Return the address that a page of Drive leads to.

    Raises
    ------
    ValueError
        If it leads nowhere, with what the page says: that too many people asked for the file, or that it is not public.
    """
    from gdown.download import get_url_from_gdrive_confirmation  # slow to import, and seldom needed
    from gdown.exceptions import FileURLRetrievalError

    try:
        return get_url_from_gdrive_confirmation(page)
    except FileURLRetrievalError as error:
        subcaption = re.match(r"Too many users[^.<]*", str(error))
        title = re.search(r"<title>\s*(.{1,60}?)\s*</title>", page, re.I | re.S)
        raise ValueError(subcaption[0] if subcaption else title[1] if title else "no title") from None
