"""What the outside says, turned into facts: commands and observations in, events out, or a refusal.

Nothing is written here and nothing is trusted: what does not fit the run's present state gives no
event. Chance (for jitter) and time are arguments.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.core import approvals
from runnotary.core import events as ev
from runnotary.core.approvals import Answer
from runnotary.core.attempts import Outcome
from runnotary.core.errors import AlreadyEnded, Changed, InvalidInput, NotEnded
from runnotary.core.flow import Retry
from runnotary.core.fold import HELD_UNSAID
from runnotary.core.run import Run, Task
from runnotary.core.states import Reason, State

Json = Any
PAUSE_MS_MAX: Final = 3_600_000
CHANGEABLE: Final = ("label", "tags", "labels", "monitors", "managers")


class Cancel(msgspec.Struct, frozen=True):
    """End the run. `force` also stops its `finally` steps."""

    by: ev.By
    reason: str = ""
    grace_ms: int = 10_000
    force: bool = False


class Update(msgspec.Struct, frozen=True):
    """Change words about the run. `if_seq`: only if its stream has that many events."""

    by: ev.By
    set: dict[str, Json]
    if_seq: int | None = None


class Archive(msgspec.Struct, frozen=True):
    """Take a run that is over out of the lists, or, if not `on`, put it back."""

    by: ev.By
    reason: str = ""
    on: bool = True


class Hold(msgspec.Struct, frozen=True):
    """Protect the run from being purged, or, if not `on`, no longer."""

    by: ev.By
    reason: str = ""
    on: bool = True


class Observed(msgspec.Struct, frozen=True):
    """An attempt has ended. `renew`: a person asked to go on, so a lost attempt is tried again."""

    key: str
    attempt: int
    outcome: Outcome
    renew: bool = False


class Reported(msgspec.Struct, frozen=True):
    """A running attempt said something about itself."""

    key: str
    attempt: int
    progress: int | None = None
    message: str = ""
    metrics: dict[str, Json] = {}


Stimulus = Cancel | Update | Archive | Hold | Answer | Observed | Reported


def decide(run: Run, stimulus: Stimulus, *, now: int, chance: int) -> tuple[ev.Event, ...]:
    """Return the facts that a stimulus adds to the run; `chance` is a number from 0 to 65,535.

    Raises:
        AlreadyEnded, NotEnded: the run is over, or is not, and the command cannot apply.
        Changed: the run has grown since the caller saw it.
        InvalidInput: the command names something that cannot be changed.
        AlreadyDecided, NotWaiting, ShownOtherwise: what is answered is no open request, or another one.
    """
    match stimulus:
        case Answer():
            return approvals.answered(run, stimulus, now)
        case Cancel():
            return _cancel(run, stimulus)
        case Update():
            return _update(run, stimulus)
        case Archive():
            return _archive(run, stimulus)
        case Hold():
            return _hold(run, stimulus)
        case Observed():
            return _observed(run, stimulus, now, chance)
        case Reported():
            return _reported(run, stimulus)


def _cancel(run: Run, command: Cancel) -> tuple[ev.Event, ...]:
    if run.finished is not None:
        if run.state is State.CANCELLED:
            return ()
        raise AlreadyEnded(f"run {run.text} has already ended: {run.state}")
    if run.cancel is not None and (run.cancel.force or not command.force):
        return ()
    return (ev.RunCancelRequested(command.by, command.reason, command.grace_ms, command.force),)


def _update(run: Run, command: Update) -> tuple[ev.Event, ...]:
    if command.if_seq is not None and command.if_seq != run.seq:
        raise Changed(
            f"run {run.text} has {run.seq} events, not {command.if_seq}",
            hint="look again, then repeat the change",
        )
    unknown = sorted(set(command.set) - set(CHANGEABLE))
    if unknown:
        raise InvalidInput(f"{', '.join(unknown)} cannot be changed; {', '.join(CHANGEABLE)} can")
    was = {name: getattr(run, name) for name in command.set}
    changed = {name: value for name, value in command.set.items() if _plain(was[name]) != _plain(value)}
    if not changed:
        return ()
    updated = ev.RunUpdated(command.by, {name: was[name] for name in changed}, changed)
    if len(ev.encode(updated)) > ev.BODY_MAX:  # each word may be short enough, and all of them too much
        raise InvalidInput(
            f"what was said about run {run.text} and what is to be said are more than one event holds",
            hint="change less at once, or take away first",
        )
    return (updated,)


def _archive(run: Run, command: Archive) -> tuple[ev.Event, ...]:
    if run.finished is None:
        raise NotEnded(f"run {run.text} goes on: {run.state}", hint="cancel it, or wait for its end")
    if (run.archived_at is not None) is command.on:
        return ()
    return (
        ev.RunAnnotated(ev.ARCHIVED if command.on else ev.UNARCHIVED, by=command.by, reason=command.reason),
    )


def _hold(run: Run, command: Hold) -> tuple[ev.Event, ...]:
    if bool(run.held) is command.on and (not command.on or run.held == (command.reason or HELD_UNSAID)):
        return ()
    return (ev.RunHeld(command.by, command.reason, released=not command.on),)


def _plain(value: Json) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _reported(run: Run, report: Reported) -> tuple[ev.Event, ...]:
    task = run.tasks.get(report.key)
    if task is None or not task.open or task.attempt != report.attempt:
        return ()
    return (ev.TaskReported(report.key, report.attempt, report.progress, report.message, report.metrics),)


def _observed(run: Run, observed: Observed, now: int, chance: int) -> tuple[ev.Event, ...]:
    task = run.tasks.get(observed.key)
    if task is None or not task.open or task.attempt != observed.attempt:
        return ()
    outcome = observed.outcome
    verdict, reason, error = _verdict(task, outcome)
    retry_at = 0
    if verdict in ("failed", "lost"):
        retry_at = _retry_at(run, task, observed, reason, now, chance)
    return (
        ev.TaskEnded(
            key=task.key,
            attempt=task.attempt,
            verdict="retry" if retry_at else verdict,
            reason=reason,
            retry_at=retry_at,
            error=error,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            values=outcome.values,
            values_large=outcome.values_large,
            files=outcome.files,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            metrics=outcome.metrics,
            started_at=outcome.started_at,
            exited_at=outcome.exited_at,
            cpu_ms=outcome.cpu_ms,
            max_rss_bytes=outcome.max_rss_bytes,
            host=outcome.host,
            pid=outcome.pid,
            environment=outcome.environment,
            runtime=outcome.runtime,
            containment=outcome.containment,
        ),
    )


def _verdict(task: Task, outcome: Outcome) -> tuple[Any, str, ev.Failure | None]:
    """Return verdict, reason and error; an end that came before the stop keeps its own outcome."""
    if outcome.lost:
        return "lost", Reason.LOST, outcome.failure or _failure(task, "lost", "the attempt was lost")
    if task.stopping and outcome.stopped:
        if task.stopping == "timeout":
            seconds = (task.deadline - (task.started_at or 0)) / 1_000_000
            return "failed", Reason.TIMEOUT, _failure(task, "timeout", f"no end within {seconds:g} s")
        return "cancelled", Reason.CANCELLED, _failure(task, "cancelled", "stopped by a cancel")
    if outcome.failure is not None:
        return "failed", outcome.reason or Reason.ERROR, outcome.failure
    if outcome.signal is not None:
        return "failed", Reason.ERROR, _failure(task, "signal", f"killed by signal {outcome.signal}")
    if outcome.exit_code:
        return "failed", Reason.ERROR, _failure(task, "exit_code", f"exit {outcome.exit_code}")
    return "success", "", None


def _failure(task: Task, code: str, message: str) -> ev.Failure:
    return ev.Failure(code, message, step=task.step, attempt=task.attempt)


def _retry_at(run: Run, task: Task, observed: Observed, reason: str, now: int, chance: int) -> int:
    """Return when to try again, or 0."""
    if run.cancel is not None or run.halted:
        return 0
    if observed.renew and reason == Reason.LOST:
        return now
    retry = run.step_of(task.key).retry
    if reason not in retry.on or task.attempt >= retry.attempts:
        return 0
    return now + pause_ms(retry, task.attempt, chance) * 1000


def pause_ms(retry: Retry, attempt: int, chance: int) -> int:
    """Return the pause after the n-th attempt: doubling, capped at an hour, with a share of chance."""
    pause = min(retry.backoff_ms << min(attempt - 1, 30), PAUSE_MS_MAX)
    return pause + pause * retry.jitter_percent * chance // (100 * 65_536)
