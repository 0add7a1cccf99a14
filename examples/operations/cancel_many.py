"""End several runs before their time. Each has its own result."""

import sys

from runnotary import Client

with Client() as client:
    batch = client.batch_cancel_runs(sys.argv[1:], concurrency=3)  # Cancel 3 at a time

    # Check for individual cancellation errors
    for result in batch.results:
        if result.error:
            print(f"Error canceling run {result.run_id}: {result.error.message}")
        else:
            print(f"Run {result.run_id} is being cancelled")

    # What runs gets a moment to end by itself
    for result in batch.results:
        if not result.error:
            print(f"Run {result.run_id} is {client.wait_for_run(result.run_id).status}")
