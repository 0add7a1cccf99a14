"""Find runs: all of them, some of them, page by page, or one after the other."""

from runnotary import Client

with Client() as client:
    # All runs that we may see, the newest first
    page = client.list_runs()

    # With filters
    page = client.list_runs(
        limit=100,
        offset=0,
        flow="processing",  # Filter by flow
        status="success",  # Filter by status
        started_from="2023-01-01",  # Started at this time or later
        ended_to="2123-12-31",  # Ended at this time or earlier
        label="Processing",  # Filter by a part of the label
        order_by="started_at",  # Sort by start time
        order="desc",  # Sort in descending order
        total=True,  # Count them all
    )

    for run in page.runs:
        print(f"Run: {run.id} (Status: {run.status})")
        print(f"  Started: {run.started_at}")
        if run.ended_at:
            print(f"  Ended: {run.ended_at}")
        print(f"  Label: {run.label}")

    # Pagination
    print(f"Total runs: {page.total}")
    print(f"Has next page: {page.has_next}")
    print(f"Cursor: {page.next_cursor}")
    if page.has_next:
        page = client.list_runs(flow="processing", status="success", cursor=page.next_cursor)

    # An iterator fetches the next page when it needs one
    for run in client.iter_runs(flow="processing", status="success"):
        print(f"Run: {run.id} (Status: {run.status})")

    # All at once
    all_runs = client.list_all_runs(flow="processing")
    print(f"Retrieved {len(all_runs)} runs")
