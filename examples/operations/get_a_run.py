"""Look at one run."""

import sys

from runnotary import Client, RunnotaryError, RunNotFound

run_id = sys.argv[1]

with Client() as client:
    try:
        run = client.get_run(run_id)
    except RunNotFound:
        raise SystemExit("Run not found") from None
    except RunnotaryError as error:
        raise SystemExit(f"Error retrieving run: {error}") from None

    print(f"Run: {run.id}")
    print(f"Flow: {run.flow_title or run.flow} ({run.flow_id})")
    print(f"Status: {run.status}")
    print(f"Started: {run.started_at}")
    if run.ended_at:
        print(f"Ended: {run.ended_at}")

    # Did it succeed?
    if run.status == "success":
        print("Run succeeded with output:")
        for name, value in run.outputs.items():
            print(f"  {name}: {value}")
    elif run.status == "failed":
        print(f"Run failed: {run.error.code} - {run.error.message}")
