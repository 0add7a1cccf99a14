"""Start a run, with everything that may be said about one."""

from datetime import date

from runnotary import Client, RunnotaryError

with Client() as client:
    try:
        run = client.run_flow(
            "processing",
            {
                "source_path": "/path/to/source/file.txt",
                "destination_path": "/path/to/destination/file.txt",
            },
            label=f"Processing Job {date.today().isoformat()}",
            tags=["processing", "automated"],
            monitors=["user:user@example.com", "group:group-id"],
            managers=["user:admin@example.com", "group:admin-group-id"],
        )
    except RunnotaryError as error:
        raise SystemExit(f"not started: {error}") from None

    print(f"Flow run started: {run.id} (Status: {run.status})")
    client.wait_for_run(run.id)  # a home in this process works only as long as the process does
