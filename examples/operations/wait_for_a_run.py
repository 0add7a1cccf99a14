"""Wait until a run is over. The server answers the moment it is; a restart of the server does not matter."""

import sys

from runnotary import Client, RunnotaryError, WaitTimeout

run_id = sys.argv[1]

with Client() as client:
    # At the most ten minutes
    try:
        run = client.wait_for_run(run_id, poll_interval=5, timeout=600)
    except WaitTimeout:
        raise SystemExit("Timed out waiting for run to complete") from None
    except RunnotaryError as error:
        raise SystemExit(f"Error waiting for run: {error}") from None

    # As long as it takes
    run = client.wait_for_run(run_id, poll_interval=5)

    print(f"Run completed with status: {run.status}")
    if run.status == "success":
        print("Output:", run.outputs)
    elif run.status == "failed":
        print(f"Run failed: {run.error.code} - {run.error.message}")
    elif run.status == "cancelled":
        print("Run was cancelled")
