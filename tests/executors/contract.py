"""What every executor must do, whatever is behind it: subclass `ExecutorContract` and say how to make one.

A rig makes attempts of four kinds. Each kind behaves the same on every executor:

    "ok"       writes the value `n` = 7 and the file `out.txt` ("made\\n"), prints "hello\\n", exits with 0
    "fails"    prints "hello\\n", exits with 3
    "sleeps"   goes on until it is stopped
    "absent"   cannot be started
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.errors import RunnotaryError
from runnotary.ports import Blobs, Ended, Executor, Observation

PATIENCE = 60


class Driver:
    """Stands where the engine stands: observes, and waits for ends."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.seen: list[Observation] = []
        self._changed = asyncio.Event()
        executor.observe(self._observe)

    def _observe(self, observation: Observation) -> None:
        self.seen.append(observation)
        self._changed.set()

    def ends(self, attempt: Attempt) -> int:
        return self.seen.count(Ended(attempt.id))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def ended(self, attempt: Attempt) -> Outcome:
        await self.until(lambda: self.ends(attempt) > 0)
        return await self.executor.collect(attempt.id)

    async def run(self, attempt: Attempt) -> Outcome:
        await self.executor.start(attempt)
        return await self.ended(attempt)


class Rig(Protocol):
    """One outside world; executors over it come and go."""

    blobs: Blobs

    def attempt(self, kind: str) -> Attempt: ...

    def engine(self) -> AbstractAsyncContextManager[Driver]:
        """An executor over this world, closed at the end; what runs outside lives on."""

    def starts(self, attempt: Attempt) -> int:
        """How often the attempt has really been started."""


def drive(rig: Rig, scene: Callable[[Driver], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with rig.engine() as driver:
            await scene(driver)

    asyncio.run(whole())


class ExecutorContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    def test_success_brings_values_files_and_log(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            outcome = await driver.run(rig.attempt("ok"))
            assert (outcome.exit_code, outcome.signal, outcome.failure) == (0, None, None)
            assert outcome.values == {"n": 7}
            assert rig.blobs.get(outcome.files["out.txt"].blob) == b"made\n"
            assert outcome.stdout is not None
            assert rig.blobs.get(outcome.stdout.blob) == b"hello\n"
            assert outcome.stderr is None
            assert not outcome.stopped
            assert not outcome.lost
            assert 0 < outcome.started_at <= outcome.exited_at

        drive(rig, scene)

    def test_failure_keeps_the_log_and_misses_no_file(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            outcome = await driver.run(rig.attempt("fails"))
            assert (outcome.exit_code, outcome.failure, outcome.files) == (3, None, {})
            assert outcome.stdout is not None
            assert rig.blobs.get(outcome.stdout.blob) == b"hello\n"

        drive(rig, scene)

    def test_an_id_is_started_once(self, rig: Rig) -> None:
        attempt = rig.attempt("ok")

        async def scene(driver: Driver) -> None:
            await asyncio.gather(*[driver.executor.start(attempt) for _ in range(3)])
            await driver.ended(attempt)
            await driver.executor.start(attempt)
            assert driver.ends(attempt) == 1

        async def later(driver: Driver) -> None:
            await driver.executor.start(attempt)
            assert (await driver.ended(attempt)).exit_code == 0

        drive(rig, scene)
        drive(rig, later)
        assert rig.starts(attempt) == 1

    def test_what_was_prepared_begins_from_any_thread_and_start_follows_whenever_it_can(
        self, rig: Rig
    ) -> None:
        async def scene(driver: Driver) -> None:
            await driver.run(rig.attempt("ok"))  # whatever the executor needs is there now
            attempt = rig.attempt("ok")
            driver.executor.prepare(attempt)
            assert rig.starts(attempt) == 0, "it was started before its intent was durable"
            await asyncio.to_thread(driver.executor.begin, attempt.id)
            await asyncio.sleep(0.05)  # long enough to have ended before anybody asks
            assert driver.ends(attempt) == 0, "its end was told before its start was asked for"
            assert (await driver.run(attempt)).exit_code == 0
            assert rig.starts(attempt) == 1

        drive(rig, scene)

    def test_what_was_prepared_and_released_leaves_nothing_and_may_come_again(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            await driver.run(rig.attempt("ok"))
            attempt = rig.attempt("ok")
            for _ in range(2):
                driver.executor.prepare(attempt)
                await driver.executor.release(attempt.id, keep=False)
                assert attempt.id not in driver.executor.leftovers()
            driver.executor.begin(attempt.id)
            assert rig.starts(attempt) == 0
            driver.executor.prepare(attempt)
            assert (await driver.run(attempt)).exit_code == 0
            assert rig.starts(attempt) == 1

        drive(rig, scene)

    def test_what_cannot_start_ends_and_explains_itself(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            outcome = await driver.run(rig.attempt("absent"))
            assert outcome.exit_code is None
            assert outcome.failure is not None
            assert outcome.failure.code
            assert outcome.failure.message

        drive(rig, scene)

    def test_stop(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            attempt = rig.attempt("sleeps")
            await driver.executor.start(attempt)
            assert driver.ends(attempt) == 0
            await driver.executor.stop(attempt.id, 5000)
            await driver.executor.stop(attempt.id, 5000)
            outcome = await driver.ended(attempt)
            assert outcome.stopped
            assert outcome.exit_code != 0

        drive(rig, scene)

    def test_a_stop_that_overtakes_the_start(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            attempt = rig.attempt("sleeps")
            starting = asyncio.ensure_future(driver.executor.start(attempt))
            await asyncio.sleep(0)
            await driver.executor.stop(attempt.id, 100)
            await starting
            outcome = await driver.ended(attempt)
            assert outcome.stopped

        drive(rig, scene)

    def test_a_stop_after_the_end_changes_nothing(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            attempt = rig.attempt("ok")
            before = await driver.run(attempt)
            await driver.executor.stop(attempt.id, 0)
            assert await driver.executor.collect(attempt.id) == before
            assert not before.stopped

        drive(rig, scene)

    def test_unknown_ids_are_no_error_to_stop_or_release(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            attempt = rig.attempt("ok")
            await driver.executor.stop(attempt.id, 0)
            await driver.executor.release(attempt.id, keep=False)
            assert not await driver.executor.find(attempt)
            with pytest.raises(RunnotaryError):
                await driver.executor.collect(attempt.id)

        drive(rig, scene)

    def test_release_gives_everything_up(self, rig: Rig) -> None:
        async def scene(driver: Driver) -> None:
            attempt = rig.attempt("ok")
            await driver.run(attempt)
            await driver.executor.release(attempt.id, keep=False)
            await driver.executor.release(attempt.id, keep=False)
            with pytest.raises(RunnotaryError):
                await driver.executor.collect(attempt.id)
            assert not await driver.executor.find(attempt)

        drive(rig, scene)

    def test_a_later_engine_finds_what_still_runs(self, rig: Rig) -> None:
        attempt = rig.attempt("sleeps")

        async def first(driver: Driver) -> None:
            assert not await driver.executor.find(attempt)
            await driver.executor.start(attempt)
            async with asyncio.timeout(60):  # it has begun, and does not only exist
                while not rig.starts(attempt):
                    await asyncio.sleep(0.01)

        async def second(driver: Driver) -> None:
            assert await driver.executor.find(attempt)
            assert await driver.executor.find(attempt)
            assert driver.ends(attempt) == 0
            await driver.executor.stop(attempt.id, 5000)
            outcome = await driver.ended(attempt)
            assert outcome.stopped
            assert not outcome.lost

        drive(rig, first)
        drive(rig, second)
        assert rig.starts(attempt) == 1

    def test_a_later_engine_finds_what_has_ended(self, rig: Rig) -> None:
        attempt = rig.attempt("ok")
        outcomes: list[Outcome] = []

        async def scene(driver: Driver) -> None:
            if outcomes:
                assert await driver.executor.find(attempt)
            else:
                await driver.executor.start(attempt)
            outcomes.append(await driver.ended(attempt))
            assert await driver.executor.find(attempt)
            await driver.until(lambda: driver.ends(attempt) == 2)

        drive(rig, scene)
        drive(rig, scene)
        assert outcomes[0] == outcomes[1]
        assert rig.starts(attempt) == 1
