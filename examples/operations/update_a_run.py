"""Say something else about a run; this may be done at any time, also after its end."""

import sys

from runnotary import Client

run_id = sys.argv[1]

with Client() as client:
    run = client.update_run(
        run_id,
        label="Updated Processing Job",
        tags=["important", "processing", "updated"],
    )

    print(f"Updated run: {run.id}")
    print(f"New label: {run.label}")
    print(f"New tags: {run.tags}")
