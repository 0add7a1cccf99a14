"""Templates to pages. Whatever is put into one is escaped and made visible, wherever it stands.

Rules of this file:

1. Autoescape is on for every template, and a name that is not given is an error, not an empty place.
2. `_printed` sees every value that a template prints, so no template can forget a dangerous letter.
3. A template holds no script and no style, neither as an element nor as an attribute (`tests/web`).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runnotary import __version__
from runnotary.core import words
from runnotary.web import shown
from runnotary.web.answers import Answer

PACKAGE: Final = "runnotary.web"
MEDIA_TYPES: Final = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
FOR_EVER: Final = ("cache-control", "public, max-age=31536000, immutable")
LOOK_AGAIN: Final = ("cache-control", "no-cache")


def _printed(value: object) -> object:
    """Spell out what would not show, also in what a macro has escaped already."""
    if isinstance(value, Markup):
        return Markup(shown.visible(value))
    return shown.visible(value) if isinstance(value, str) else value


@cache
def static(name: str) -> bytes:
    """Return the content of a static file."""
    return resources.files(PACKAGE).joinpath("static", name).read_bytes()


def version_of(name: str) -> str:
    """Return what changes whenever the static file does."""
    return hashlib.sha256(static(name)).hexdigest()[:12]


def static_answer(name: str, version: str) -> Answer:
    """Answer with a static file; for ever, if the address names this very content."""
    caching = FOR_EVER if version == version_of(name) else LOOK_AGAIN
    return Answer(static(name), media_type=MEDIA_TYPES[name], headers=(caching,))


def _static_address(name: str) -> str:
    return f"/static/{name}?v={version_of(name)}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "ago": shown.ago,
        "cut": shown.cut,
        "digest": words.short_digest,
        "moment": shown.moment,
        "size": shown.size,
        "value": shown.value,
    }
    environment.tests["file"] = words.is_file
    environment.globals |= {"static": _static_address, "took": shown.took, "version": __version__}
    return environment


_ENVIRONMENT: Final = _environment()


def render(template: str, **names: Any) -> bytes:
    """Return the page that a template makes of these names."""
    return _ENVIRONMENT.get_template(template).render(names).encode("utf-8", "backslashreplace")
