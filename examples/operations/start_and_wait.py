"""From inputs to outputs: start a run, wait for its end, use what it made."""

from runnotary import Client

with Client() as client:
    # Start the run
    run = client.run_flow(
        "processing",
        {"source_path": "/path/to/source/file.txt"},
        label="Processing Job",
    )
    print(f"Flow run started: {run.id}")

    # Wait for the run to complete; `run_flow(…, wait=True)` does both
    run = client.wait_for_run(run.id, poll_interval=5)

    # Process results
    if run.status == "success":
        print("Run succeeded with output:")
        for name, value in run.outputs.items():
            print(f"  {name}: {value}")
    else:
        print(f"Run did not succeed. Status: {run.status}")
        if run.error:
            print(f"Error: {run.error.code} - {run.error.message}")
