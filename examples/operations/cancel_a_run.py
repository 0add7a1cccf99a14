"""End a run before its time."""

import sys

from runnotary import AlreadyEnded, Client, RunnotaryError, RunNotFound

run_id = sys.argv[1]

with Client() as client:
    try:
        client.cancel_run(run_id)
    except RunNotFound:
        raise SystemExit("Run not found") from None
    except AlreadyEnded as error:
        raise SystemExit(f"Nothing to cancel: {error}") from None
    except RunnotaryError as error:
        raise SystemExit(f"Error canceling run: {error}") from None

    print("Cancellation requested")

    # What runs gets a moment to end by itself
    run = client.wait_for_run(run_id, timeout=60)
    if run.status == "cancelled":
        print("Run is now cancelled")
    else:
        print(f"Run status: {run.status}")
