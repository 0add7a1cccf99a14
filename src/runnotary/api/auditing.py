"""The route of audit searches: JSON, or CSV for a spreadsheet."""

from __future__ import annotations

from runnotary.api.call import Call, Document, Written
from runnotary.api.parameters import moment
from runnotary.core.sheet import AUDITED, sheet
from runnotary.engine.auditing import Search

CSV = "text/csv; charset=utf-8; header=present"


def events(call: Call) -> Document | Written:
    asked = call.query
    search = Search(
        who=asked.who,
        what=asked.what,
        run=asked.run,
        namespace=asked.namespace,
        since=moment("from", asked.since),
        until=moment("to", asked.until),
        why=asked.why,
        newest=asked.order == "desc",
        limit=asked.limit,
    )
    page = call.operations.search(call.who, search, asked.cursor)
    accepted = call.headers.get("accept", "").partition(";")[0].strip().lower()
    if asked.format == "csv" or (asked.format is None and accepted == "text/csv"):
        more = {"runnotary-next-cursor": page["next_cursor"]} if page["next_cursor"] else {}
        return Written(sheet(AUDITED, page["events"], head=not asked.cursor).encode(), CSV, more)
    return Document(page)
