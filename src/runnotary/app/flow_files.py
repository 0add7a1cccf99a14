"""Flow files for a client: read and checked here, so that every problem has its line and column."""

from __future__ import annotations

from pathlib import Path

from runnotary.client.loading import Loaded
from runnotary.formats import yaml_flow


def loaded(path: Path) -> Loaded:
    """Read a flow file with everything that is its code.

    Raises:
        FileMissing, InvalidDefinition: with every problem of the file.
    """
    flow = yaml_flow.load(path)
    words = flow.definition.words
    said = {
        "flow": words.flow,
        "version": words.version,
        "title": words.title,
        "description": words.description,
    }
    return Loaded(flow.definition.document, said, tuple(flow.code.values()))
