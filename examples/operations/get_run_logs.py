"""Read what happened in a run."""

import sys

from runnotary import Client

run_id = sys.argv[1]

with Client() as client:
    # A page
    logs = client.get_run_logs(run_id, 100, 0)
    print(f"Retrieved {len(logs.entries)} log entries")
    for entry in logs.entries:
        print(f"[{entry.time}] {entry.code}: {entry.description}")

    # An iterator, fifty at a time
    for entry in client.iter_run_logs(run_id, 50):
        print(f"[{entry.time}] {entry.code}: {entry.description}")

    # All at once
    all_logs = client.list_all_run_logs(run_id)
    print(f"Retrieved {len(all_logs)} log entries")
