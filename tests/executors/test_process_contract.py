"""The process executor keeps the contract of executors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.contract import ExecutorContract
from tests.executors.rig import ProcessRig


class TestProcess(ExecutorContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[ProcessRig]:  # type: ignore[override]
        with ProcessRig(tmp_path) as rig:
            yield rig
