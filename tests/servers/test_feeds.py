"""Events of a run that another server works on: in order, each once, also when that server dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from runnotary import Client
from tests.server.up import until
from tests.servers.pair import Pair, Server, effects
from tests.servers.test_taking_over import begun

WHOLE = ["run.created", "task.started", "task.ended", "task.started", "task.ended", "run.finished", "end"]


class Follower(threading.Thread):
    """Follows a run at a server until its end."""

    def __init__(self, server: Server, path: str) -> None:
        super().__init__()
        self._server, self._path = server, path
        self.seen: list[tuple[str, str]] = []
        self.start()

    def run(self) -> None:
        for mark, kind, _ in self._server.events(self._path):
            self.seen.append((mark, kind))

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind in self.seen]


def test_events_come_from_the_other_server_and_after_it_from_this_one(
    own: Callable[..., Pair], tmp_path: Path
) -> None:
    pair, gate = own().start(), tmp_path / "gate"
    run = begun(pair, gate)
    follower = Follower(pair.b, f"/runs/{run}/events")
    until(lambda: len(follower.seen) == 2)  # live, from the server that works on it
    pair.b.ask("PATCH", f"/runs/{run}", {"label": "seen"})
    until(lambda: len(follower.seen) == 3)
    pair.a.kill()
    gate.touch()
    follower.join()
    assert follower.kinds == [*WHOLE[:2], "run.updated", *WHOLE[2:]]
    assert [mark for mark, _ in follower.seen[:-1]] == [str(seq) for seq in range(1, len(follower.seen))]


def test_who_followed_at_the_server_that_died_goes_on_at_the_other(
    own: Callable[..., Pair], tmp_path: Path
) -> None:
    pair, gate = own().start(), tmp_path / "gate"
    run = begun(pair, gate)
    seen = []
    for mark, kind, _ in pair.a.events(f"/runs/{run}/events"):
        seen.append((mark, kind))
        if kind == "task.started":
            break
    pair.a.kill()
    gate.touch()
    for mark, kind, _ in pair.b.events(f"/runs/{run}/events", last=seen[-1][0]):
        seen.append((mark, kind))
    assert [kind for _, kind in seen] == WHOLE
    assert effects(pair.folder / "effects")["two"] == 1


def test_a_client_follows_over_a_restart_of_the_database(own: Callable[..., Pair], tmp_path: Path) -> None:
    pair, gate = own(lease=60).start(), tmp_path / "gate"
    run = begun(pair, gate)
    seen: list[str] = []

    def follow() -> None:
        with Client(pair.b.url) as client:
            for event in client.follow_run(run):
                seen.append(event.type)

    thread = threading.Thread(target=follow)
    thread.start()
    until(lambda: len(seen) == 2)
    pair.postgres.restart("immediate")
    gate.touch()
    thread.join()
    assert seen == WHOLE[:-1]
