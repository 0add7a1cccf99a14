"""A person is erased: no file of the home names them, what was in force still is, and `verify` holds."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core import events as ev
from runnotary.core.chain import actor_id
from runnotary.core.definition import Words
from runnotary.core.errors import Held, InvalidInput, NotEnded, RunErased
from runnotary.core.ids import to_text
from runnotary.core.ledger import SALT
from runnotary.core.permissions import Role
from runnotary.engine.erasure import Forgetting, Plan
from runnotary.store.verify import verify, verify_record
from tests.database import copy_home, places_of, record_in, remove_home, rows_of
from tests.engine.test_erasure import LARGE, SAYS
from tests.engine.test_retention import BY, ONE, SLOW, House, Within, within

__all__ = ["within"]
Json = Any
ROOT = Path(__file__).parents[2]
ZED = ev.By("user:zebedee")
NAME, WHOLE = "zebedee", "user:zebedee"
BOSS = ev.By("user:boss")


def eraser(place: House) -> Forgetting:
    return Forgetting(place.home.parts, place.home.access, place.service.retention)


async def settled(place: House) -> tuple[bytes, bytes]:
    """Let somebody leave their name wherever one can stand; return a run of theirs, and one of others."""
    access, owner = place.home.access, place.home.access.who(BY)
    zed = place.home.access.who(ZED)
    await access.create_namespace(owner, "lab", "Zoo of zebedee", "zebedee wants it")
    await access.create_token(owner, WHOLE, name="laptop")
    _, secret = await access.create_token(zed, "service:ci", name="made by zebedee")
    settled.secret = secret  # type: ignore[attr-defined]
    await access.grant(owner, "lab", WHOLE, Role.ADMIN)
    await access.grant(owner, "lab", "user:bob", Role.VIEWER)
    await access.grant(zed, "lab", "user:eve", Role.OPERATOR)
    await access.grant(owner, "lab", "user:eve", Role.STARTER)
    await access.set_group(owner, "group:qa", [WHOLE, "user:bob"])
    await access.set_group(owner, "group:qa", [WHOLE, "user:bob", "user:eve"])
    first, second = place.keep(ONE), place.keep(SAYS)
    for number, by in enumerate((BY, ZED, BY)):
        words = Words(flow="said", version=f"v{number}", title=f"of {by.principal}")
        await place.service.register(second if number % 2 else first, words, by, "lab")
    own = await place.ended(SAYS, ZED, inputs={"who": LARGE}, key="zebedee-1", namespace="lab")
    other = await place.ended(ONE, BY, monitors=(WHOLE,))
    purged = await place.ended(ONE, BY)
    await place.service.purge(purged, ZED, "zebedee purged it")
    return own, other


def test_nobody_finds_who_was_erased(within: Within, settings: Settings) -> None:
    salts: list[bytes] = []

    async def work(place: House) -> None:
        own, other = await settled(place)
        salts.append(place.store.home_salt())
        kept = await place.ended(ONE, BY)
        done = await eraser(place).erase(WHOLE, BOSS, "article 17", runs=True)
        assert [row.id for row in done.owned] == [own] and [row.id for row in done.naming] == [other]
        assert len(done.tokens) == 1 and done.groups == ("group:qa",) and done.roles == {"lab": ("admin",)}
        assert {name: bool(one.seqs) for name, one in done.ledgers.items()} == {"default": True, "lab": True}
        assert place.listed(include_archived=True) == {kept}
        with pytest.raises(RunErased):
            place.home.reader.resolve(to_text(own))

    async def again(place: House) -> None:
        access, owner = place.home.access, place.home.access.who(BY)
        state = access.refresh()
        assert state.roles == {
            "user:bob": {"lab": frozenset({Role.VIEWER})},
            "user:eve": {"lab": frozenset({Role.OPERATOR, Role.STARTER})},
        }
        assert state.groups == {"group:qa": frozenset({"user:bob", "user:eve"})}
        assert [token.principal for token in state.tokens.values()] == ["service:ci"]
        by = access.token(settled.secret)  # type: ignore[attr-defined]
        assert by is not None and by.principal == "service:ci"
        assert state.namespaces["lab"].title == "Zoo of (erased)"
        (flow,) = place.store.flows("lab")
        assert (flow.version, flow.versions) == ("v2", 3)
        versions = place.home.reader.versions("said", "lab")
        assert [one["by"]["principal"] for one in versions] == ["user:boss", "user:boss", "user:test"]
        assert versions[0]["source"]["first_said_by"] == "user:test"
        assert "first_said_by" not in versions[1]["source"]
        await access.grant(owner, "lab", "user:bob", Role.OPERATOR)
        await place.service.register(place.keep(ONE), Words(flow="said", version="v3"), BY, "lab")
        await place.ended(ONE, BY)

    report = within(work)
    assert report.findings == ()
    assert places_of(settings.home, NAME) == []
    assert places_of(settings.home, salts[0].hex()) == []
    assert within(again).findings == ()
    assert places_of(settings.home, NAME) == []


@pytest.mark.own_database("bytes are looked for in its file")
def test_actor_ids_of_before_lead_to_nobody(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        await settled(place)
        old = actor_id(place.store.home_salt(), WHOLE)
        await eraser(place).erase(WHOLE, BOSS, "article 17", runs=True)
        assert places_of(settings.home, NAME) == []
        assert old in (settings.home / "runnotary.db").read_bytes(), "the envelopes are still there"
        new = place.store.home_salt()
        assert actor_id(new, WHOLE) != old
        told = [one.event for one in place.store.noted()]
        assert [one.kind for one in told if isinstance(one, ev.EngineNoted)] == [SALT]

    assert within(work).findings == ()


def test_without_the_runs_it_is_said_which_still_name_them(within: Within) -> None:
    async def work(place: House) -> None:
        own, other = await settled(place)
        word = await place.ended(SAYS, BY, inputs={"who": "ask zebedee"})
        plan = await asyncio.to_thread(eraser(place).plan, WHOLE, BOSS)
        before = place.store.position()
        assert plan.document["mentions"] == [to_text(word)] and place.store.position() == before
        done = await eraser(place).erase(WHOLE, BOSS, "article 17", runs=False)
        assert done.document == plan.document
        assert place.listed() == {own, other, word}
        left = await asyncio.to_thread(eraser(place).plan, WHOLE, BOSS)
        assert left.ledgers == {} and left.tokens == () and {row.id for row in left.runs} == {own, other}

    assert within(work).findings == ()


@pytest.mark.parametrize("kind", ["01", "03"], ids=["run", "ledger"])
@pytest.mark.parametrize("many", [1, 10**6])
def test_what_was_erased_and_is_put_back_is_found(
    within: Within, settings: Settings, tmp_path: Path, kind: str, many: int
) -> None:
    """The bodies are the right ones, and the chain holds: but the person has their rights again."""

    async def before(place: House) -> None:
        await settled(place)

    async def after(place: House) -> None:
        await eraser(place).erase(WHOLE, BOSS, "article 17", runs=True)

    assert within(before).findings == ()
    with rows_of(settings.home) as connection:
        query = "SELECT stream, seq, body FROM events"
        bodies = {(stream, seq): body for stream, seq, body in connection.execute(query)}
    assert within(after).findings == ()
    with rows_of(settings.home) as connection:
        gone = f"body IS NULL AND substr(stream, 1, 1) = x'{kind}'"
        query = f"SELECT stream, seq FROM events WHERE {gone} ORDER BY stream, seq DESC LIMIT ?"
        places = connection.execute(query, (many,)).fetchall()
        for place in places:
            change = "UPDATE events SET body = ? WHERE stream = ? AND seq = ?"
            connection.execute(change, (bodies[place], *place))
    put_back = len(places)
    assert put_back > 0
    for report in (verify(record_of(settings)), verify_record(record_of(settings))):
        back = [one for one in report.findings if "its tombstone says that the body is gone" in one.message]
        assert len(back) == put_back and {one.code for one in back} == {"body"}


def test_who_erased_can_be_erased_by_another(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        await settled(place)
        await eraser(place).erase(WHOLE, BOSS, "article 17", runs=True)
        await eraser(place).erase("user:boss", BY, "left", runs=True)
        assert places_of(settings.home, "user:boss") == []

    report = within(work)
    assert report.findings == () and all("user:test" in line for line in report.erasures)
    assert places_of(settings.home, NAME) == []


def test_what_must_not_go_stops_all_of_it(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        own, _ = await settled(place)
        length = place.store.position()

        async def refused(kind: type[Exception], principal: str, by: ev.By, reason: str) -> None:
            with pytest.raises(kind):
                await eraser(place).erase(principal, by, reason, runs=True)

        await refused(InvalidInput, WHOLE, ZED, "myself")
        await refused(InvalidInput, WHOLE, BOSS, "")
        for reason in (
            "zebedee asked for it",
            "Zebedee asked for it",
            "asked by:zebedee",
            "by:user:zebedee",
            " ",
        ):
            await refused(InvalidInput, WHOLE, BOSS, reason)
        for reason in (" ", "x" * 5000, "\udc80"):
            await refused(InvalidInput, WHOLE, BOSS, reason)
        await refused(InvalidInput, "group:qa", BOSS, "why")
        await refused(InvalidInput, "zebedee", BOSS, "why")
        assert place.store.position() == length
        await place.service.hold(own, BY, "court")
        await refused(Held, WHOLE, BOSS, "why")
        await place.service.release_hold(own, BY)
        going = await place.start(SLOW, ZED)
        length = place.store.position()
        await refused(NotEnded, WHOLE, BOSS, "why")
        assert place.store.position() == length
        await place.service.cancel(going, BY)
        await place.home.engine.ended(going)

    assert within(work).ok


def test_whose_name_begins_or_ends_alike_is_somebody_else(within: Within) -> None:
    async def work(place: House) -> None:
        access, owner = place.home.access, place.home.access.who(BY)
        await access.create_namespace(owner, "lab")
        for name in (
            "user:ana",
            "user:ana-maria",
            "user:juana",
            "service:ana",
            "user:ana.b",
            "user:ana@x.org",
        ):
            await access.grant(owner, "lab", name, Role.VIEWER)
            await place.ended(ONE, ev.By(name))
        done: Plan = await eraser(place).erase("user:ana", BOSS, "left", runs=True)
        assert len(done.runs) == 1

    async def again(place: House) -> None:
        left = ["service:ana", "user:ana-maria", "user:ana.b", "user:ana@x.org", "user:juana"]
        assert sorted(place.home.access.refresh().roles) == left
        assert len(place.listed()) == 5

    assert within(work).findings == ()
    assert within(again).findings == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("first line\nuser:zebedee", "naming"),
        ('a "user:zebedee" in quotes', "naming"),
        ("\tzebedee", "mentions"),
        ("ask Zebedee", "mentions"),
        ("owner=zebedee", "mentions"),
        ("service:zebedee", ""),
        ("zebedees", ""),
    ],
)
def test_where_a_name_stands_in_a_run(within: Within, text: str, found: str) -> None:
    async def work(place: House) -> None:
        run = to_text(await place.ended(SAYS, BY, inputs={"who": text}))
        told = (await asyncio.to_thread(eraser(place).plan, WHOLE, BOSS)).document
        assert {where for where in ("owned", "naming", "mentions") if told[where] == [run]} == {found} - {""}

    assert within(work).findings == ()


def test_the_word_that_stands_for_names_is_nobodys(within: Within) -> None:
    async def work(place: House) -> None:
        await settled(place)
        await eraser(place).erase(WHOLE, BOSS, "article 17", runs=True)
        access = place.home.access
        await access.grant(access.who(BY), "lab", "user:erased", Role.VIEWER, "erased joins the (erased)")
        done = await eraser(place).erase("user:erased", BOSS, "article 18", runs=True)
        assert done.roles == {"lab": ("viewer",)} and set(done.ledgers) == {"lab"}
        assert "user:erased" not in access.refresh().roles

    assert within(work).findings == ()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_said_the_rest_stays_in_force(within: Within, seed: int) -> None:
    chance = random.Random(seed)
    people = [WHOLE, "user:bob", "user:eve", "service:ci"]
    meant: dict[str, Any] = {}

    async def work(place: House) -> None:
        access = place.home.access
        await access.create_namespace(access.who(BY), "lab")
        for number in range(60):
            who = access.who(chance.choice((BY, ZED, BOSS)))
            one, some = chance.choice(people), chance.sample(people, chance.randrange(4))
            match chance.randrange(6):
                case 0:
                    await access.grant(who, chance.choice(("lab", "*")), one, chance.choice(list(Role)))
                case 1:
                    await access.revoke(who, chance.choice(("lab", "*")), one)
                case 2:
                    await access.set_group(who, f"group:{chance.choice('ab')}", some)
                case 3:
                    await access.create_token(who, one, name=f"t{number}")
                case 4:
                    live = [token for token in access.refresh().tokens.values() if token.revoked_at is None]
                    if live:
                        await access.revoke_token(who, chance.choice(live).id)
                case _:
                    words = Words(flow=chance.choice("fg"), version=f"v{number}")
                    await place.service.register(
                        place.keep(chance.choice((ONE, SAYS))),
                        words,
                        who.by,
                        chance.choice(("lab", "default")),
                    )
        meant.update(state_of(place))
        await eraser(place).erase(WHOLE, ev.By("user:auditor"), "left", runs=False)

    async def again(place: House) -> None:
        assert state_of(place) == meant

    assert within(work).findings == ()
    assert within(again).findings == ()


def state_of(place: House) -> dict[str, Any]:
    """Return what is in force for everybody but the person."""
    state, now = place.home.access.refresh(), place.home.parts.clock.now()
    flows = [flow for name in ("default", "lab") for flow in place.store.flows(name)]
    return {
        "roles": {name: held for name, held in state.roles.items() if name != WHOLE},
        "groups": {name: members - {WHOLE} for name, members in state.groups.items()},
        "tokens": {
            one.hash: (one.id, one.principal, one.scopes)
            for one in state.tokens.values()
            if one.principal != WHOLE and one.status(now) == "live"
        },
        "flows": {(one.namespace, one.name): (one.definition, one.version, one.versions) for one in flows},
    }


# --- crashes ---------------------------------------------------------------------------------------------

WORKER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runnotary.app.home import Embedded
from tests.engine.test_forgetting import BOSS, WHOLE, eraser
from tests.database import settings_of
from tests.engine.test_retention import House

async def erase():
    home = Embedded(settings_of(Path(sys.argv[1])))
    print("go", flush=True)
    await eraser(House(home)).erase(WHOLE, BOSS, "article 17", runs=True)
    await home.close()

asyncio.run(erase())
"""


def test_killed_at_any_moment_the_person_is_there_or_gone(
    within: Within, settings: Settings, tmp_path: Path
) -> None:
    async def work(place: House) -> None:
        await settled(place)
        more = [place.ended(SAYS, ZED, inputs={"who": LARGE + str(n)}, namespace="lab") for n in range(80)]
        await asyncio.gather(*more)

    assert within(work).findings == ()
    copy_home(settings.home, tmp_path / "before")
    home, ends = settings.home, set()
    whole_seconds = killed(home, 60)
    assert whole_seconds is not None
    for seed in range(12):
        remove_home(home)
        copy_home(tmp_path / "before", home)
        finished = killed(home, 0.01 + seed * whole_seconds / 12) is not None
        report = verify(record_in(home), deep=True)
        assert report.findings == (), seed
        whole = "ledger/lab" in {line.partition(":")[0] for line in report.erasures}
        assert whole == ("ledger/default" in {line.partition(":")[0] for line in report.erasures})
        assert not whole or report.checked.get("runs", 0) == 0, "ledgers come after the runs"
        ends.add((finished, whole, report.checked.get("emptied", 0)))
        if seed % 3 == 0:
            assert killed(home, 60) is not None
            assert verify(record_in(home), deep=True).findings == ()
            assert places_of(home, NAME) == []
    assert len(ends) > 1, ends


def killed(home: Path, seconds: float) -> float | None:
    """Erase in another process and kill it after some time; return how long it took if it had finished."""
    command = [sys.executable, "-c", WORKER, str(home), str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        started = time.monotonic()
        try:
            assert worker.wait(seconds) == 0
            return time.monotonic() - started
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
    return None
