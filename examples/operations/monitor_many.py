"""Look at several runs again and again, until all of them are over."""

import sys
from threading import Event, Thread

from runnotary import Client, RunnotaryError

EVERY = 0.5  # seconds


def monitor_runs(client: Client, run_ids: list[str], enough: Event) -> None:
    # Track status and completion
    run_status = dict.fromkeys(run_ids, "unknown")
    completed = 0

    while completed < len(run_ids):
        # Get all runs
        try:
            batch = client.batch_get_runs(run_ids, concurrency=5)
        except RunnotaryError as error:
            print(f"Error getting runs: {error}")
            return

        # Update status and check for completion
        completed = 0
        for result in batch.results:
            if result.error:
                print(f"Error getting run {result.run_id}: {result.error.message}")
                continue

            old_status, new_status = run_status[result.run_id], result.run.status
            run_status[result.run_id] = new_status
            if old_status != new_status:
                print(f"Run {result.run_id} status changed: {old_status} -> {new_status}")
            completed += result.run.over

        print(f"Progress: {completed}/{len(run_ids)} runs completed")

        # Wait before checking again
        if completed < len(run_ids) and enough.wait(EVERY):
            print("Monitoring canceled")
            return

    print("All runs completed!")


with Client() as client:
    enough = Event()
    monitor = Thread(target=monitor_runs, args=(client, sys.argv[1:], enough))
    monitor.start()
    try:
        monitor.join()
    except KeyboardInterrupt:
        enough.set()
        monitor.join()
