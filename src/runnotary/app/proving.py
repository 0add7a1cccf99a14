"""What an engine is asked for evidence by commands: a checkpoint, a proof, a change of keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from runnotary.core.errors import InvalidInput
from runnotary.core.permissions import Who
from runnotary.engine.proofs import Proofs

Json = Any
CHANGES: Final = ("new_checkpoint", "proof", "rotate", "revoke")
"""What takes an engine; a proof does if nothing covers its entry yet."""


async def answered(proofs: Proofs, who: Who, verb: str, words: Mapping[str, Json]) -> Json:
    """Make one of `CHANGES` and return its document.

    Raises:
        InvalidInput: it is none of them, or takes other words.
    """
    if verb not in CHANGES:
        raise InvalidInput(f"a log knows nothing called {verb}")
    making = partial(proofs.checkpoint, fresh=True) if verb == "new_checkpoint" else getattr(proofs, verb)
    try:
        made = making(who, **words)
    except TypeError as wrong:
        raise InvalidInput(f"{verb}: {wrong}", hint="the other engine may be of another release") from None
    document: Json = await made
    return document
