"""Puts pip into the environment that runs this file, for a Python that came without ensurepip."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

WHEEL = "pip-26.3-py3-none-any.whl"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def main() -> None:
    """Fetch the one known wheel from the configured index, check it, and let it install itself."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    with urllib.request.urlopen(index, timeout=60) as page:
        listing = page.read().decode()
    link = re.search(rf'href="([^"#]*{re.escape(WHEEL)})', listing)
    if link is None:
        sys.exit(f"{WHEEL} is not offered by the package index")
    with urllib.request.urlopen(urllib.parse.urljoin(index, link[1]), timeout=180) as reply:
        content = reply.read()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{WHEEL} is not the file it should be")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, WHEEL)
        wheel.write_bytes(content)
        subprocess.run([sys.executable, wheel / "pip", "install", "--quiet", "--no-index", wheel], check=True)


if __name__ == "__main__":
    main()
