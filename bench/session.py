"""What `runnotary start FILE` does, without the command line: `python -m bench.session FILE HOME`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from runnotary import config
from runnotary.app.intake import StartRequest
from runnotary.app.session import session


async def _main(file: Path, home: str) -> None:
    settings = config.load({"home": home}, environ={}, cwd=file.parent)
    async with session(settings) as opened:
        run = await opened.start(StartRequest(cwd=str(file.parent), target=file.name))
        async for _ in opened.changes(run):
            pass


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2]))
