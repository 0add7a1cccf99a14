"""`up`: serve a home."""

from __future__ import annotations

from argparse import Namespace

from runnotary import config
from runnotary.app.serving import serve

NAMES = ("home", "durability", "slots", "host", "port", "log_format", "log_level")


def up(args: Namespace) -> int:
    """Serve until a signal comes."""
    settings = config.load({name: getattr(args, name, None) for name in NAMES})

    def ready(address: str, mode: str) -> None:
        print(address, flush=True)
        print(f"home {settings.home}", mode, "Ctrl-C ends it; what runs lives on", sep="\n", flush=True)

    serve(settings, ready=ready)
    return 0
