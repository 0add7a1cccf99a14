"""Learn what happens in a run as it happens, without asking; with asyncio."""

import asyncio
import sys

from runnotary import AsyncClient


async def main(run_id: str) -> None:
    async with AsyncClient() as client:
        async for event in client.follow_run(run_id):
            print(f"[{event.time}] {event.seq} {event.type}")
        run = await client.get_run(run_id)
        print(f"Run completed with status: {run.status}")


asyncio.run(main(sys.argv[1]))
