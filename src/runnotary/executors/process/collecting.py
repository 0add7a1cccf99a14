"""Turns what an attempt left behind into its outcome: the record, the logs, the outputs, the reports.

Nobody can write to any of it any more when this runs: the record says `exited`, or the tree was found dead.
Nothing here waits for a process, and nothing raises for what the step did: trouble is a failure in the
outcome, and the logs are kept in any case.
"""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from runnotary.core.attempts import Outcome
from runnotary.core.events import Failure, Log
from runnotary.core.states import Reason
from runnotary.executors import attempt_record
from runnotary.executors.attempt_record import CONTAINMENTS, Record
from runnotary.executors.process import logs, outputs
from runnotary.executors.process.failures import Refused, from_os, not_spawned
from runnotary.executors.process.folders import is_full
from runnotary.executors.process.held import Held
from runnotary.executors.process.regular import size_of
from runnotary.executors.process.runtime import Runtime
from runnotary.ports import Blobs

CHEAP_BYTES: Final = 4000


class Collector:
    """Collects attempts; holds what is the same for all of them."""

    def __init__(self, blobs: Blobs, *, log_limit: int, log_stop: int) -> None:
        self._blobs = blobs
        self._log_limit = log_limit
        self.log_stop: Final = log_stop
        self._runtime = Runtime()
        self._host = os.uname().nodename

    def is_cheap(self, held: Held) -> bool:
        """Tell whether collecting is so little work that a thread would cost more."""
        attempt = held.attempt
        if attempt.files or attempt.trees or attempt.secrets:
            return False
        record = self._record(held)
        if record is None or record.stdout_size + record.stderr_size > CHEAP_BYTES:
            return False
        said = size_of(f"{held.folder}/output") + size_of(f"{held.folder}/report")
        held.silent = not said
        return said <= CHEAP_BYTES

    def collect(self, held: Held) -> Outcome:
        """Return the outcome of an attempt that has ended; may be repeated."""
        fields: dict[str, Any] = {
            "attempt": held.attempt.id,
            "host": self._host,
            "runtime": self._blobs.put(self._runtime.blob()),
            "environment": self._blobs.put(held.evidence) if held.evidence else "",
        }
        if held.refused is not None:
            return Outcome(
                **fields,
                failure=self._masked(held, held.refused.failure),
                reason=held.refused.reason,
                stopped=held.stop_grace_ms is not None,
            )
        record = self._record(held)
        stdout, stderr, trouble = self._logs(held, record)
        fields.update(stdout=stdout, stderr=stderr, metrics=_metrics(held))
        if record is not None:
            fields |= _process(record)
        if held.lost:
            failure = Failure("lost", held.lost)
            fields.update(lost=True, reason=str(Reason.LOST), failure=failure, exited_at=0)
        else:
            assert record is not None
            fields |= self._judged(held, record, trouble)
        return Outcome(**fields)

    def _judged(self, held: Held, record: Record, trouble: Refused | None) -> dict[str, Any]:
        """Return exit code and outputs, or why there are none."""
        if record.spawn_errno:
            sizes = held.environment.sizes() if held.environment else []
            failure = self._masked(held, not_spawned(held.attempt, record, sizes))
            return {"failure": failure, "reason": str(Reason.ERROR)}
        code = os.waitstatus_to_exitcode(record.wait_status)
        ended = {"exit_code": code} if code >= 0 else {"signal": -code}
        if code > 0 and trouble is None and is_full(held.folder):
            text = f"exit {code}, and the disk has no room left. Free some space, then run again"
            trouble = Refused("disk_full", text)
        try:
            if trouble is not None:
                raise trouble
            if held.leaks is None:
                names = ", ".join(sorted(held.attempt.secrets.values()))
                text = f"secret {names} is not known any more, so no output could be searched for it"
                raise Refused("secret_missing", text)
            found = outputs.find(held.attempt, held.folder, held.leaks, lenient=code != 0)
            inline, large = outputs.keep_values(found, self._blobs)
            # The folder of an attempt that failed is kept, with all that is in it.
            keep = self._blobs.take_file if code == 0 else self._blobs.put_file
            files = outputs.keep_files(found, self._blobs, keep)
        except (Refused, OSError) as error:
            refused = error if isinstance(error, Refused) else from_os(error, "keeping the outputs")
            return {**ended, "failure": self._masked(held, refused.failure), "reason": refused.reason}
        return {**ended, "values": inline, "values_large": large, "files": files}

    def _record(self, held: Held) -> Record | None:
        if held.record is None:
            try:
                held.record = attempt_record.read(f"{held.folder}/record")
            except (OSError, attempt_record.Damaged):
                # It was whole when the attempt was taken for ended: a step has written over it.
                held.lost = held.lost or "its record cannot be read any more"
        return held.record

    def _logs(self, held: Held, record: Record | None) -> tuple[Log | None, Log | None, Refused | None]:
        kept: list[Log | None] = []
        trouble = _trouble(record) if record is not None else None
        for name in ("stdout", "stderr"):
            path = f"{held.folder}/{name}"
            if record is not None and not held.lost and not getattr(record, f"{name}_size"):
                kept.append(None)
                continue
            try:
                log = logs.keep(path, self._blobs, self._log_limit)
            except OSError as error:
                trouble = trouble or from_os(error, f"keeping {name}")
                log = logs.only_hashed(path)
            kept.append(log)
            if log is not None and log.size > self.log_stop:
                text = f"{name} grew beyond {self.log_stop:,} bytes; let the step write less, or to a file"
                trouble = trouble or Refused("log_too_large", text)
        return kept[0], kept[1], trouble

    def _masked(self, held: Held, failure: Failure) -> Failure:
        if not held.attempt.secrets or held.leaks is None:
            return failure
        return msgspec.structs.replace(failure, message=held.leaks.masked_text(failure.message))


def _process(record: Record) -> dict[str, Any]:
    """What the record says about the process itself."""
    fields: dict[str, Any] = {
        "stopped": record.stop_signal != 0,
        "started_at": record.started_us,
        "exited_at": record.exited_us,
        "pid": record.pid,
        "containment": CONTAINMENTS.get(record.containment, ""),
    }
    if record.state == attempt_record.EXITED and not record.spawn_errno:
        fields["cpu_ms"] = (record.utime_us + record.stime_us) // 1000
        fields["max_rss_bytes"] = record.maxrss_kib * 1024
    return fields


def _trouble(record: Record) -> Refused | None:
    """What the keeper or the masker could not do."""
    if record.stuck:
        text = f"{record.stuck} of its processes did not die of SIGKILL and may still write"
        return Refused("processes_left", text)
    if record.log_errno == attempt_record.MASKER_DIED:
        return Refused("log_incomplete", "the process that masks secrets died; the end of the log is missing")
    if record.log_errno:
        return from_os(OSError(record.log_errno, ""), "writing the log")
    return None


def _metrics(held: Held) -> dict[str, Any]:
    if held.reports is None or held.silent:
        return {}
    held.reports.read()
    return dict(held.reports.metrics)
