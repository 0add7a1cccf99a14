"""The command `runnotary`, also as `python -m runnotary`."""

from __future__ import annotations

import sys

from runnotary.cli.entry import run


def main() -> int:
    """Run the command line of this process; return its exit status."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
