"""Steps as processes of this machine, under the keeper. `executor` is where to begin reading."""

from runnotary.executors.process.executor import ProcessExecutor, ProcessSettings

__all__ = ["ProcessExecutor", "ProcessSettings"]
