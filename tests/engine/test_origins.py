"""Lineage across runs: who made a file and who used it, over several runs, as far as one may see."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.app.stores import opened_read_only, record_of
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core.chain import run_stream
from runnotary.core.definition import Words
from runnotary.core.errors import BlobNotFound, InvalidRunInput, RunNotFound
from runnotary.core.hashing import digest
from runnotary.core.ids import to_text
from runnotary.core.lineage import Direction
from runnotary.core.permissions import Visible
from runnotary.core.queries import ContentQuery
from runnotary.core.rows import RunRow
from runnotary.engine import origins
from runnotary.engine.reader import Reader
from runnotary.store.verify import verify
from tests.database import rows_of
from tests.engine.test_retention import BY, House, Within, within  # noqa: F401 - a fixture
from tests.store.history import open_store, run_id

Json = Any
Play = Callable[..., str]


def turns(command: str, name: str = "out") -> Json:
    """A flow that makes one file of another."""
    return {
        "flow": "turns",
        "inputs": {"data": {"type": "file"}},
        "steps": {
            "make": {
                "run": f'{command} < "$d" > {name}',
                "with": {"d": "${{ inputs.data }}"},
                "files": [name],
            }
        },
        "outputs": {"result": f"${{{{ steps.make.files['{name}'] }}}}"},
    }


UPPER, LOWER, TWICE = turns("tr a-z A-Z"), turns("tr A-Z a-z"), turns("sed p")


def kept(place: House, content: str, name: str = "data") -> Json:
    data = content.encode()
    return {"$file": place.blobs.put(data), "name": name, "size": len(data)}


def of(content: str) -> str:
    return digest(content.encode())


async def turned(place: House, document: Json, content: str, **said: Any) -> str:
    return to_text(await place.ended(document, inputs={"data": kept(place, content)}, **said))


def reader_of(place: House) -> Reader:
    return place.home.reader


def runs(answer: Json) -> set[str]:
    return {node["run"] for node in answer["nodes"] if node["type"] == "run"}


def edges(answer: Json) -> set[tuple[str, str, str]]:
    short = {node["id"]: node["id"].partition(":")[2] for node in answer["nodes"]}
    return {(short[edge["from"]], edge["type"], short[edge["to"]]) for edge in answer["edges"]}


def acyclic(answer: Json) -> None:
    sorter = TopologicalSorter[str]({node["id"]: () for node in answer["nodes"]})
    for edge in answer["edges"]:
        sorter.add(edge["to"], edge["from"])
    assert len(list(sorter.static_order())) == len(answer["nodes"]), "an edge leads to no node"


def test_a_chain_of_runs_up_and_down(within: Within) -> None:  # noqa: F811
    async def work(place: House) -> None:
        first = await turned(place, UPPER, "abc\n")
        second = await turned(place, TWICE, "ABC\n")
        third = await turned(place, LOWER, "ABC\nABC\n")
        across = reader_of(place).across
        whole = across(of("ABC\n"))
        assert edges(whole) == {
            (of("abc\n"), "used", first),
            (first, "generated", of("ABC\n")),
            (of("ABC\n"), "used", second),
            (second, "generated", of("ABC\nABC\n")),
            (of("ABC\nABC\n"), "used", third),
            (third, "generated", of("abc\nabc\n")),
        }
        assert runs(across(of("ABC\n"), "up")) == {first}
        assert runs(across(of("ABC\n"), "down")) == {second, third}
        assert runs(across(of("ABC\n"), "down", 1)) == {second}
        assert runs(across(of("abc\nabc\n"), "up")) == {first, second, third}
        assert runs(across(of("abc\nabc\n"), "up", 2)) == {second, third}
        assert across(of("nobody had this"))["edges"] == []
        made = next(edge for edge in whole["edges"] if edge["type"] == "generated")
        assert (made["as"], made["task"]) == ("out", "make")
        assert not whole["truncated"]

    assert within(work).findings == ()


def test_content_that_comes_back_leads_nowhere_in_a_circle(within: Within) -> None:  # noqa: F811
    async def work(place: House) -> None:
        for _ in range(3):
            await turned(place, UPPER, "abc\n")
            await turned(place, LOWER, "ABC\n")
        for content in ("abc\n", "ABC\n"):
            for direction in ("up", "down", "both"):
                answer = reader_of(place).across(of(content), direction)  # type: ignore[arg-type]
                acyclic(answer)
                assert len(runs(answer)) >= 3
        same = await turned(place, turns("cat"), "abc\n")
        answer = reader_of(place).across(of("abc\n"), "up")
        assert same not in runs(answer), "what it was given it did not make"
        assert same in runs(reader_of(place).across(of("abc\n"), "down"))

    assert within(work).findings == ()


class Told:
    """Runs that a test made up: each with what it was given and what it made, oldest first."""

    def __init__(self, told: list[tuple[set[str], set[str]]]) -> None:
        blank = dict.fromkeys(RunRow.__struct_fields__, "") | {"seq": 4}
        self.runs = [
            (RunRow(**blank | {"id": run_id(at), "created_at": at, "ended_at": at}), given, made - given)
            for at, (given, made) in enumerate(told)
        ]
        self.read = 0

    def runs_with(self, query: ContentQuery) -> list[RunRow]:
        self.read += query.limit
        found = [
            row
            for row, given, made in self.runs
            if query.blob in (made if query.made else given)
            and (query.before is None or row.id < query.before)
            and (query.after is None or row.id > query.after)
        ]
        return (found if query.after is not None else found[::-1])[: query.limit]

    def graph(self, row: RunRow) -> Json:
        _, given, made = next(one for one in self.runs if one[0].id == row.id)
        nodes = [
            {"id": blob, "type": "file", "blob": blob, "size": 1, "names": ["f"], "external": blob in given}
            | {"roles": {"input": ["i"]} if blob in given else {"output": ["o"]}}
            for blob in sorted(given | made)
        ]
        edges = [{"from": blob, "to": "task:t", "type": "used"} for blob in sorted(given)]
        edges += [{"from": "task:t", "to": blob, "type": "generated"} for blob in sorted(made)]
        return {"nodes": nodes, "edges": edges}


BLOBS = [digest(letter.encode()) for letter in "abcd"]
SOME = st.sets(st.sampled_from(BLOBS), max_size=3)


@given(st.lists(st.tuples(SOME, SOME), max_size=9))
def test_no_history_of_runs_makes_a_circle(told: list[tuple[set[str], set[str]]]) -> None:
    place = Told(told)
    for blob in BLOBS:
        for direction in ("up", "down", "both"):
            asked = origins.Origins(place, place.graph, None)  # type: ignore[arg-type]
            answer = asked.answer(blob, direction, 100)  # type: ignore[arg-type]
            acyclic(answer)
            makers = {to_text(row.id) for row, _, made in place.runs if blob in made}
            users = {to_text(row.id) for row, given, _ in place.runs if blob in given}
            assert makers <= runs(answer) or direction == "down"
            assert users <= runs(answer) or direction == "up"
            for edge in answer["edges"]:
                run = next(
                    one for one in place.runs if to_text(one[0].id) in (edge["from"][4:], edge["to"][4:])
                )
                content = edge["from" if edge["type"] == "used" else "to"][5:].partition("@")[0]
                assert content in run[1 if edge["type"] == "used" else 2], "an edge that no run accounts for"


def test_a_run_that_is_purged_meanwhile_is_not_there() -> None:
    place = Told([({BLOBS[0]}, {BLOBS[1]}), ({BLOBS[1]}, {BLOBS[2]})])
    gone = place.runs[1][0].id

    def graph(row: RunRow) -> Json:
        if row.id == gone:
            raise RunNotFound.named(to_text(gone))
        return place.graph(row)

    answer = origins.Origins(place, graph, None).answer(BLOBS[1], "both", 10)  # type: ignore[arg-type]
    assert runs(answer) == {to_text(place.runs[0][0].id)}


def test_of_a_run_only_what_the_file_came_from(within: Within) -> None:  # noqa: F811
    """Two parts of a run have nothing to do with each other, and its lineage says so."""
    document = {
        "inputs": {"a": {"type": "file"}, "b": {"type": "file"}},
        "steps": {
            name: {
                "run": f'tr a-z A-Z < "$f" > {name}.out',
                "with": {"f": f"${{{{ inputs.{name} }}}}"},
                "files": [f"{name}.out"],
            }
            for name in "ab"
        },
    }

    async def work(place: House) -> None:
        inputs = {"a": kept(place, "aa\n"), "b": kept(place, "bb\n")}
        run = to_text(await place.ended(document, inputs=inputs))
        assert edges(reader_of(place).across(of("AA\n"), "up")) == {
            (run, "generated", of("AA\n")),
            (of("aa\n"), "used", run),
        }
        assert edges(reader_of(place).across(of("bb\n"), "down")) == {
            (of("bb\n"), "used", run),
            (run, "generated", of("BB\n")),
        }

    assert within(work).findings == ()


def test_a_run_one_may_not_see_is_not_there(within: Within) -> None:  # noqa: F811
    async def work(place: House) -> None:
        first = await turned(place, UPPER, "abc\n", namespace="open")
        hidden = await turned(place, TWICE, "ABC\n", namespace="closed")
        third = await turned(place, LOWER, "ABC\nABC\n", namespace="open")
        seen = Visible(namespaces=("open",))
        across = reader_of(place).across
        whole = across(of("ABC\n"), shown=seen)
        assert runs(whole) == {first}, "and nothing is found through the one between"
        up = across(of("ABC\nABC\n"), "up", shown=seen)
        assert runs(up) == set() and not up["truncated"]
        assert up == across(of("ABC\nABC\n"), "up", shown=Visible()), "as of what is not here"
        assert runs(across(of("ABC\nABC\n"), shown=seen)) == {third}
        unknown = across(of("never seen"), "up", shown=seen)
        assert unknown["nodes"][0].keys() == up["nodes"][0].keys()
        assert (unknown["nodes"][0]["size"], up["nodes"][0]["size"]) == (None, None), "nor is its size told"
        assert hidden in runs(across(of("ABC\n")))

    assert within(work).findings == ()


def test_what_there_is_too_much_of_is_said(
    within: Within,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(origins, "RUNS_MAX", 2)

    async def work(place: House) -> None:
        for _ in range(3):
            await turned(place, UPPER, "abc\n", namespace="open")
        await turned(place, UPPER, "abc\n", namespace="closed")
        answer = reader_of(place).across(of("abc\n"), "down")
        assert answer["truncated"] and len(runs(answer)) == 2
        seen = Visible(namespaces=("closed",))
        assert not reader_of(place).across(of("abc\n"), "down", shown=seen)["truncated"]

    assert within(work).findings == ()


def chain(length: int) -> list[tuple[set[str], set[str]]]:
    blobs = [digest(f"link {at}".encode()) for at in range(length + 1)]
    return [({one}, {other}) for one, other in pairwise(blobs)]


def asked(place: Told, blob: str, direction: Direction = "both", depth: int = 100) -> Json:
    return origins.Origins(place, place.graph, None).answer(blob, direction, depth)  # type: ignore[arg-type]


def test_a_chain_that_goes_on_beyond_the_depth_is_cut_and_says_so() -> None:
    place = Told(chain(4))
    last = digest(b"link 4")
    assert [asked(place, last, "up", depth)["truncated"] for depth in (1, 3, 4, 5)] == [
        True,
        True,
        False,
        False,
    ]
    first = digest(b"link 0")
    assert [asked(place, first, "down", depth)["truncated"] for depth in (3, 4)] == [True, False]


def test_beyond_the_depth_nothing_tells_of_a_run_one_may_not_see(within: Within) -> None:  # noqa: F811
    async def work(place: House) -> None:
        await turned(place, UPPER, "abc\n", namespace="open")
        await turned(place, TWICE, "ABC\n", namespace="closed")
        across = reader_of(place).across
        assert across(of("abc\n"), "down", 1)["truncated"]
        assert not across(of("abc\n"), "down", 1, Visible(namespaces=("open",)))["truncated"]

    assert within(work).findings == ()


def test_many_runs_of_the_same_files_cost_no_more_than_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound each of the files has every run, at each run that was given it."""
    monkeypatch.setattr(origins, "LINKS_MAX", 100)
    given, made = ({digest(f"{kind} {at}".encode()) for at in range(10)} for kind in ("in", "out"))
    place = Told([(given, made), (made, given)] * 20)
    for most in (500, 5):  # also if most of the runs that are met are too many
        monkeypatch.setattr(origins, "RUNS_MAX", most)
        place.read = 0
        answer = asked(place, digest(b"in 1"))
        acyclic(answer)
        assert answer["truncated"] and len(answer["edges"]) < 400 and place.read < 50 * 101


def test_however_many_made_a_file_who_used_it_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "RUNS_MAX", 4)
    start = digest(b"start")
    place = Told([(set(), {start})] * 9 + [({start}, set())] * 9)
    answer = asked(place, start)
    assert answer["truncated"]
    assert [edge["type"] for edge in answer["edges"]] == ["generated"] * 2 + ["used"] * 2
    assert len(runs(asked(place, start, "up"))) == len(runs(asked(place, start, "down"))) == 4


def test_large_runs_count_by_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "EVENTS_MAX", 8)
    place = Told(chain(4))
    answer = asked(place, digest(b"link 4"), "up")
    assert (len(runs(answer)), answer["truncated"]) == (2, True)
    monkeypatch.setattr(origins, "EVENTS_MAX", 1)
    answer = asked(place, digest(b"link 4"), "up")
    assert (len(runs(answer)), answer["truncated"]) == (1, True), "one is always looked at"


@pytest.mark.parametrize("empty", [b"", b"[]"])
def test_what_is_empty_leads_nowhere(empty: bytes) -> None:
    """Neither a file nor a folder without anything in it came from the run that had one before."""
    first, last = digest(b"first"), digest(b"last")
    place = Told([({first}, {digest(empty)}), ({digest(empty)}, {last})])
    assert runs(asked(place, last, "up")) == {to_text(place.runs[1][0].id)}
    assert len(runs(asked(place, digest(empty)))) == 2, "who asks for it is told"


def test_inputs_too_large_for_their_event_count_too(within: Within, settings: Settings) -> None:  # noqa: F811
    document = {
        "inputs": {"many": {"type": "array"}},
        "steps": {"only": {"run": "true"}},
    }

    async def work(place: House) -> None:
        many = [kept(place, f"part {number}", f"{number}.csv") for number in range(300)]
        run = await place.ended(document, inputs={"many": many})
        created = next(iter(place.store.read(run_stream(run)))).event
        assert created.inputs_large is not None  # type: ignore[union-attr]
        assert runs(reader_of(place).across(of("part 299"), "down")) == {to_text(run)}
        row = place.store.run(run)
        assert row is not None
        assert [one["path"] for one in reader_of(place).files(row)] == [f"{at}.csv" for at in range(300)]

    assert within(work).findings == ()
    assert stored(settings.home) == 300


def stored(home: Path) -> int:
    with rows_of(home) as connection:
        count: int = connection.execute("SELECT count(*) FROM uses").fetchone()[0]
        return count


def test_a_run_that_was_purged_or_erased_is_in_no_lineage(within: Within, settings: Settings) -> None:  # noqa: F811
    async def work(place: House) -> None:
        first = await place.ended(UPPER, inputs={"data": kept(place, "abc\n")})
        second = await place.ended(TWICE, inputs={"data": kept(place, "ABC\n")})
        await place.service.purge(first, BY, "")
        assert runs(reader_of(place).across(of("ABC\n"))) == {to_text(second)}
        await place.service.erase(second, BY, "asked to")
        assert reader_of(place).across(of("ABC\n"))["edges"] == []

    assert within(work).findings == ()
    assert stored(settings.home) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE uses SET made = 1 - made", "holds"),
        ("DELETE FROM uses", "the row is missing"),
        ("INSERT INTO uses SELECT x'" + "ab" * 32 + "', id, 1 FROM runs", "no event accounts for this row"),
        ("INSERT INTO uses VALUES (x'" + "ab" * 32 + "', x'" + "cd" * 16 + "', 0)", "no event accounts"),
        ("UPDATE uses SET run = x'" + "cd" * 16 + "' WHERE made = 1", "the row is missing"),
    ],
)
def test_verify_compares_the_table(
    within: Within,  # noqa: F811
    settings: Settings,
    change: str,
    said: str,
) -> None:
    async def work(place: House) -> None:
        await turned(place, UPPER, "abc\n")
        await turned(place, TWICE, "ABC\n")

    assert within(work).findings == ()
    assert stored(settings.home) == 4
    with rows_of(settings.home) as connection:
        connection.execute(change)
        run = connection.execute("SELECT id FROM runs").fetchone()[0]
    report = verify(record_of(settings))
    assert not report.ok
    assert any(said in finding.message and "uses" in finding.where for finding in report.findings)
    if "INSERT" not in change:
        assert not verify(record_of(settings), run=run).ok, "of one run, what it should have is looked up"


@pytest.mark.own_database("a release before PostgreSQL made it")
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events WHERE seq = 1",
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET (envelope, body) = (SELECT envelope, body FROM events AS other"
        " WHERE other.stream = x'{run}' AND seq = 3) WHERE seq = 2",
        "UPDATE events SET (envelope, body) = (SELECT envelope, body FROM events AS other"
        " WHERE other.stream = x'{run}' AND seq = 4) WHERE seq = 2",
        "UPDATE events SET envelope = zeroblob(60) WHERE seq = 2",
        "UPDATE events SET body = zeroblob(40) WHERE seq = 1",
        "UPDATE events SET body = NULL WHERE seq = 1",
    ],
)
def test_a_damaged_run_keeps_no_older_home_from_opening(
    within: Within,  # noqa: F811
    settings: Settings,
    damage: str,
) -> None:
    """Or nobody could verify it."""
    ran: list[bytes] = []

    async def work(place: House) -> None:
        await turned(place, UPPER, "abc\n")
        ran.append(await place.ended({"steps": {"only": {"run": "true"}}}))

    assert within(work).findings == ()
    stream = run_stream(ran[0]).hex()
    with closing(sqlite3.connect(settings.home / "runnotary.db", isolation_level=None)) as connection:
        connection.execute(f"{damage} AND stream = x'{{run}}'".format(run=stream))
        for table in ("uses", "tiles", "checkpoints"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 2")
    (settings.home / "checkpoint").unlink()
    open_store(settings.home).close()
    assert stored(settings.home) == 2, "the rows of the other run"
    assert not verify(record_of(settings)).ok


@pytest.mark.own_database("a release before PostgreSQL made it")
def test_the_table_of_an_older_home_is_filled(within: Within, settings: Settings) -> None:  # noqa: F811
    async def work(place: House) -> None:
        await turned(place, UPPER, "abc\n")
        await turned(place, TWICE, "ABC\n")
        await place.ended({"steps": {"only": {"run": "exit 1"}}})

    assert within(work).findings == ()
    with closing(sqlite3.connect(settings.home / "runnotary.db", isolation_level=None)) as connection:
        before = connection.execute("SELECT * FROM uses").fetchall()
        for table in ("uses", "tiles", "checkpoints"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 2")
    (settings.home / "checkpoint").unlink()
    store = open_store(settings.home)
    query = ContentQuery(blob=of("ABC\n"), made=True)
    assert len(store.runs_with(query)) == 1
    store.close()
    with closing(sqlite3.connect(settings.home / "runnotary.db")) as connection:
        assert connection.execute("SELECT * FROM uses").fetchall() == before
    assert verify(record_of(settings), deep=True).ok


# --- definitions are never lost ----------------------------------------------------------------------


def test_a_definition_that_a_name_ever_meant_outlives_its_runs(within: Within) -> None:  # noqa: F811
    """Purging every run of an old version leaves what the flow's history names, and it still runs by hash."""

    async def work(place: House) -> None:
        old, new = ({"flow": "f", "steps": {"only": {"run": run}}} for run in ("true", "false"))
        hashes = [place.keep(document) for document in (old, new)]
        for known in hashes:
            await place.service.register(known, Words(flow="f"), BY, "default")
        unnamed = {"steps": {"only": {"run": "echo unnamed"}}}
        gone = [await place.ended(document) for document in (old, new, unnamed)]
        for run in gone:
            await place.service.purge(run, BY, "")
        assert [place.blobs.has(known) for known in hashes] == [True, True]
        with pytest.raises(BlobNotFound):
            place.blobs.get(digest_of(unnamed))
        assert reader_of(place).flow("f").definition == hashes[1]
        again = await place.ended(old)
        row = place.store.run(again)
        assert row is not None and (row.definition, row.status) == (hashes[0], "success")

    assert within(work).findings == ()


def test_a_definition_whose_code_is_not_here_starts_no_run(within: Within) -> None:  # noqa: F811
    """Whoever names it by its hash may have brought it alone, and the record would not verify any more."""
    code = {"tool.py": {"blob": of("never put"), "size": 9}}

    async def work(place: House) -> None:
        with pytest.raises(InvalidRunInput, match="is not here"):
            await place.start({"code": code, "steps": {"only": {"run": "true"}}})
        assert place.listed() == set()
        place.blobs.put(b"never put")
        await place.ended({"code": code, "steps": {"only": {"run": "true"}}})

    assert within(work).findings == ()


def digest_of(document: Json) -> str:
    return definition.define(document).hash


def test_rows_are_of_files_only(play: Play, settings: Settings) -> None:
    """Neither logs nor code nor values: a run that takes and makes no file has none."""
    play({"steps": {"only": {"run": "echo said; echo loud >&2"}}})
    assert stored(settings.home) == 0
    with closing(opened_read_only(settings)) as store:
        assert store.runs_with(ContentQuery(blob=digest(b"said\n"), made=True)) == []
