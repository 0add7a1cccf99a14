"""Read crates as others do: a program for the environment of `readers.py`, which has no Runnotary.

    python crate_reader.py CONTEXTS CRATE…      one JSON object: by crate, what the validator says and what
                                                `runcrate report` prints

The validator works offline: the answers to what it would fetch come from the files in CONTEXTS.
"""

import io
import json
import sys
import tempfile
from pathlib import Path

from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator.models import Severity
from rocrate_validator.services import validate
from runcrate.report import dump_crate_actions
from urllib3 import HTTPResponse

PROFILES = {True: "provenance-run-crate", False: "workflow-run-crate"}


class Files(HTTPAdapter):
    """Answers with files, where others would ask a server."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.known = json.loads((folder / "addresses.json").read_text())

    def send(self, request, **_):
        body = io.BytesIO((self.folder / self.known[request.url]).read_bytes())
        headers = {"Content-Type": "application/ld+json"}
        return self.build_response(
            request, HTTPResponse(body, headers, status=200, preload_content=False, request_url=request.url)
        )


def seeded(contexts, cache):
    """Make the validator's cache of what it would fetch."""
    with CachedSession(cache_name=str(cache), backend="sqlite", expire_after=-1) as session:
        files = Files(contexts)
        session.mount("https://", files)
        for url in files.known:
            session.get(url)


def told(crate, cache):
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text())
    steps = any(one["@type"] == "OrganizeAction" for one in metadata["@graph"])
    result = validate(
        {
            "rocrate_uri": str(crate),
            "profile_identifier": PROFILES[steps],
            "requirement_severity": Severity.RECOMMENDED.name,
            "offline": True,
            "cache_path": str(cache),
            "cache_max_age": -1,
        }
    )
    report = io.StringIO()
    dump_crate_actions(str(crate), report)
    return {
        "profile": PROFILES[steps],
        "checks": len(result.executed_checks),
        "issues": [
            f"{one.severity.name} {one.check.identifier} {one.violatingEntity}: {one.message}"
            for one in result.get_issues(Severity.RECOMMENDED)
        ],
        "report": report.getvalue(),
    }


def main():
    contexts, *crates = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        seeded(contexts, cache)
        print(json.dumps({str(crate): told(crate, cache) for crate in crates}))


if __name__ == "__main__":
    main()
