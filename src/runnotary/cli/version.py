"""`runnotary version`."""

from __future__ import annotations

from argparse import Namespace

from runnotary import __version__


def version(_: Namespace) -> int:
    """Print the release."""
    print(f"runnotary {__version__}")
    return 0
