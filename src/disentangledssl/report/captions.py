"""Captions: templates in reStructuredText, the same that Snakemake's own report shows, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
from docutils.core import publish_parts
from docutils.utils import SystemMessage
from docutils.writers.html5_polyglot import Writer
from markupsafe import Markup

from disentangledssl.errors import InputError

# A caption is text: it includes no file, holds no HTML of its own, and a slip in it stops the page.
SETTINGS = {"file_insertion_enabled": False, "raw_enabled": False, "halt_level": 2, "report_level": 5}


def render_caption(path: Path, wildcards: Mapping[str, str], config: Mapping[str, Any]) -> Markup:
    """Return a caption as HTML.

    Parameters
    ----------
    path : path
        Template, which may name ``snakemake.wildcards`` and ``snakemake.config``.
    wildcards, config : mapping
        Of the output that the caption is of, and of the run.

    Raises
    ------
    InputError
        If the template names what is not there, or is not reStructuredText.
    """
    known = SimpleNamespace(wildcards=SimpleNamespace(**wildcards), config=config)
    try:
        text = jinja2.Template(path.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined).render(
            snakemake=known
        )
        return Markup(publish_parts(text, writer=Writer(), settings_overrides=SETTINGS)["body"])
    except (jinja2.TemplateError, SystemMessage) as error:
        raise InputError(path, "", f"cannot be shown ({error})", "correct this caption") from None
