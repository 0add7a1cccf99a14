"""Start several runs at once. Each entry has its own result: a run, or an error."""

from runnotary import Client, RunRequest

with Client() as client:
    batch = client.batch_run_flows(
        [
            RunRequest(flow="processing", label="Batch Job 1", inputs={"source_path": "value1"}),
            RunRequest(flow="processing", label="Batch Job 2", inputs={"source_path": "value2"}),
            {"flow": "processing", "label": "Batch Job 3", "inputs": {"source_path": "value3"}},
            {"flow": "processing", "label": "Batch Job 4", "inputs": {"seconds": "a while"}},
        ],
        concurrency=3,  # Start 3 at a time
    )
    print(f"Started {len(batch.results)} runs")

    # Check for individual run errors
    for number, result in enumerate(batch.results, 1):
        if result.error:
            print(f"Error starting run {number}: {result.error.code}: {result.error.message}")
        else:
            print(f"Run {number} started: {result.run.id}")

    # Store the run ids for later checking
    run_ids = [result.run_id for result in batch.results if not result.error]

    # A home in this process works only as long as the process does
    for run_id in run_ids:
        client.wait_for_run(run_id)
