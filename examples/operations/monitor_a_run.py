"""Look at a run again and again, in a thread of its own, until it is over or nobody wants to know."""

import sys
from threading import Event, Thread

from runnotary import Client, Run, RunnotaryError

EVERY = 0.5  # seconds


def print_outcome(run: Run) -> None:
    print("Run is no longer active")
    if run.status == "success":
        print("Run succeeded with output:")
        for name, value in run.outputs.items():
            print(f"  {name}: {value}")
    elif run.status == "failed":
        print(f"Run failed: {run.error.code} - {run.error.message}")
    elif run.status == "cancelled":
        print("Run was cancelled")


def monitor_run(client: Client, run_id: str, enough: Event) -> None:
    while True:
        # Get the current run status
        try:
            run = client.get_run(run_id)
        except RunnotaryError as error:
            print(f"Error getting run: {error}")
            return

        print(f"Run status: {run.status}")

        # Is it over?
        if run.over:
            print_outcome(run)
            return

        # Get some of the log
        try:
            logs = client.get_run_logs(run_id, 5, 0)
        except RunnotaryError as error:
            print(f"Error getting logs: {error}")
        else:
            if logs.entries:
                print("Log entries:")
                for entry in logs.entries:
                    print(f"[{entry.time}] {entry.code}: {entry.description}")

        # Wait before checking again
        if enough.wait(EVERY):
            print("Monitoring canceled")
            return


with Client() as client:
    enough = Event()
    monitor = Thread(target=monitor_run, args=(client, sys.argv[1], enough))
    monitor.start()
    try:
        monitor.join()
    except KeyboardInterrupt:
        enough.set()
        monitor.join()
