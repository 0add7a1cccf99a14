"""Put away what is old: archived runs leave the listings, are kept, and still verify."""

import sys

from runnotary import Client

older_than = sys.argv[1] if len(sys.argv) > 1 else "30d"

with Client() as client:
    # Look first
    found = client.archive_runs(older_than=older_than, flow="processing", dry_run=True)
    print(f"{found.count} runs would be archived")

    # Then do it
    done = client.archive_runs(older_than=older_than, flow="processing", reason="older than we look at")
    print(f"Archived {done.count} runs")
