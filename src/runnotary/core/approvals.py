"""Requests to people: what is asked, who may answer, what an answer adds, and how the step ends.

Rules of this file:

1. A request and everything that it shows is one event, written before anybody can see it. `digest` in it is
   that of the canonical JSON of `{"prompt", "shown"}`, and each answer repeats it: an answer is about what
   was shown, and about nothing else.
2. It fails closed: out of time, refused, or without the right to answer, nothing that waits for it starts.
3. The first answer that decides is the last: one refusal, or as many approvals as are asked for, each by
   somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core import scope
from runnotary.core.errors import (
    AlreadyDecided,
    AlreadyEnded,
    NotWaiting,
    OwnRequest,
    PermissionDenied,
    ReasonRequired,
    ShownOtherwise,
)
from runnotary.core.expressions import EvaluationError
from runnotary.core.flow import Approve
from runnotary.core.fold import APPROVED, REJECTED, outstanding
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import task_id
from runnotary.core.permissions import EVERYWHERE, Action, Caller, People, Role, require
from runnotary.core.run import Run, Task
from runnotary.core.states import Reason, State
from runnotary.core.times import to_text as time_text

Json = Any
Request = dict[str, Json]
PROMPT_MAX: Final = 2000
ROLE: Final = "role:"


class Answer(msgspec.Struct, frozen=True):
    """Somebody approves or refuses. `seen` is the digest of what they were shown; "" is whatever it is."""

    key: str
    by: ev.By
    approve: bool
    reason: str = ""
    seen: str = ""


def requested(
    run: Run,
    asked: Approve,
    task: Task,
    now: int,
    packed: Callable[[Json], tuple[Json, ev.Large | None]],
) -> ev.TaskWaiting:
    """Return the request of a step that is due.

    Raises:
        EvaluationError, NeedsLoad: what it shows has no value, or not yet.
    """
    prompt = scope.evaluate(run, asked.prompt, task)
    if not isinstance(prompt, str):
        prompt = msgspec.json.encode(prompt).decode()
    if len(prompt) > PROMPT_MAX:
        raise EvaluationError(f"the prompt has {len(prompt)} letters, {PROMPT_MAX} at most; `show` more")
    shown = {name: scope.evaluate(run, value, task) for name, value in asked.show.items()}
    inline, large = packed(shown)
    request: Request = {
        "id": task_id(run.id, task.key),
        "prompt": prompt,
        "shown": inline,
        "digest": digest_of(prompt, shown),
        **terms(asked),
    }
    due = now + asked.timeout_ms * 1000 if asked.timeout_ms else 0
    return ev.TaskWaiting(task.key, "approval", due, request, shown_large=large)


def terms(asked: Approve) -> Request:
    """Return what of a request the definition alone decides: who may answer it, how many must, and how."""
    found: Request = {}
    if asked.by:
        found["who"] = list(asked.by)
    if asked.approvals > 1:
        found["approvals"] = asked.approvals
    if asked.reason_required:
        found["reason"] = "required"
    if not asked.self_approval:
        found["self_approval"] = False
    return found


def digest_of(prompt: str, shown: dict[str, Json]) -> str:
    """Return the digest of what a request shows."""
    return digest(canonical({"prompt": prompt, "shown": shown}))


# --- who may answer --------------------------------------------------------------------------------


def entitled(caller: Caller, request: Request, people: People, *, run: str) -> str:
    """Let whoever may answer a request pass, and return as what: `approver@lab`, `group:qa`.

    Whom a request names may answer it without any other right than to see the run; `role:NAME` is whoever
    has that role in the run's namespace, and an admin has every role.

    Raises:
        RunNotFound: the caller may not even see the run.
        PermissionDenied: the caller sees it and may not answer.
    """
    named = request.get("who") or ()
    if not named:
        return require(caller, Action.APPROVE, people, run=run)
    require(caller, Action.READ, people, run=run)
    if not caller.scopes.allow(Action.APPROVE):
        hint = "the token is not made for that; see its scopes: runnotary token list"
        raise PermissionDenied(f"this token may not approve in run {run}", hint=hint)
    found = next((found for one in named if (found := _stands_for(caller, one, people.namespace))), "")
    if not found:
        raise PermissionDenied(
            f"this request of run {run} is for others to answer", hint=f"ask {', '.join(named)}"
        )
    return found


def _stands_for(caller: Caller, named: str, namespace: str) -> str:
    """Return as what a caller is meant by a principal or a role; "" if not at all."""
    if not named.startswith(ROLE):
        return named if named in caller.names else ""
    for place in (namespace, EVERYWHERE):
        held = caller.roles.get(place, frozenset[Role]())
        for role in (named.removeprefix(ROLE), Role.ADMIN):
            if role in held:
                return f"{role}@{place}"
    return ""


def not_their_own(by: ev.By, concerned: Collection[str], *, run: str) -> None:
    """Refuse an answer of somebody whom the run is of.

    Raises:
        OwnRequest: it is one.
    """
    if by.principal in concerned:
        raise OwnRequest(
            f"{by.principal} started, owns or registered run {run} and may not answer its request",
            hint="somebody else must",
        )


# --- answers ---------------------------------------------------------------------------------------


def answered(run: Run, answer: Answer, now: int) -> tuple[ev.Event, ...]:
    """Return what an answer adds to the run: the first that decides wins.

    Raises:
        AlreadyDecided, AlreadyEnded, NotWaiting: there is no open request, or this caller approved before.
        ShownOtherwise: the caller saw something else.
        ReasonRequired: the request asks why, and the answer does not say.
    """
    task = _open_request(run, answer.key, now)
    if any(one.by == answer.by.principal for one in task.answers):
        raise AlreadyDecided(
            f"{answer.by.principal} has approved {answer.key} already; {outstanding(task)} more must"
        )
    if answer.seen and answer.seen != task.request["digest"]:
        raise ShownOtherwise(
            f"{answer.key} of run {run.text} shows {task.request['digest']}, not {answer.seen}",
            hint="look at the request again",
        )
    if task.request.get("reason") == "required" and not answer.reason.strip():
        raise ReasonRequired(f"{answer.key} asks for a reason", hint="say why: --reason TEXT")
    said = {"decision": APPROVED if answer.approve else REJECTED, "shown": task.request["digest"]}
    if answer.reason:
        said["reason"] = answer.reason
    return (ev.TaskSignalled(answer.key, answer.by, said),)


def _open_request(run: Run, key: str, now: int) -> Task:
    """Return the task whose request may be answered now."""
    task = run.tasks.get(key)
    if task is not None and task.answers and not outstanding(task):
        raise AlreadyDecided(f"{_told(task)}: nothing was changed")
    if run.finished is not None:
        raise AlreadyEnded(f"run {run.text} has already ended: {run.state}")
    if task is None or not task.request:
        raise NotWaiting(f"step {key} of run {run.text} asks for nothing yet")
    if task.state is not State.WAITING:
        raise NotWaiting(f"step {key} of run {run.text} waits no more: {task.reason or task.state}")
    if _ending(run, task):
        raise NotWaiting(f"run {run.text} is being ended, and {key} with it")
    if task.due and now >= task.due:
        raise NotWaiting(f"the time to answer {key} of run {run.text} ended at {time_text(task.due)}")
    return task


def _ending(run: Run, task: Task) -> bool:
    """Tell whether a cancel or a failure is about to end the request, which it may not have done yet."""
    if run.step_of(task.key).cleanup:
        return run.cancel is not None and run.cancel.force
    return run.cancel is not None or run.halted


def _told(task: Task) -> str:
    last = task.answers[-1]
    return f"{task.key} was {last.decision} by {last.by} at {time_text(last.at)}"


def unapproved(task: Task, asked: Approve) -> tuple[Reason, ev.Failure | None]:
    """Return why a request that is over was not approved; no failure if it was."""
    refusal = next((one for one in task.answers if one.decision != APPROVED), None)
    if refusal is not None:
        why = f": {refusal.reason}" if refusal.reason else ""
        message = f"{refusal.decision} by {refusal.by}{why}"
        return Reason.DENIED, ev.Failure(Reason.DENIED, message, step=task.step)
    missing = outstanding(task)
    if not missing:
        return Reason.DENIED, None
    given = f"{len(task.answers)} of {asked.approvals} approvals" if asked.approvals > 1 else "no answer"
    message = f"{given} within {asked.timeout_ms / 1000:g} s"
    return Reason.TIMEOUT, ev.Failure(Reason.TIMEOUT, message, step=task.step)
