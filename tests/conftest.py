"""With RUNNOTARY_REQUIRE_ALL=1 a test that skips, or is expected to fail, fails the session."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.database import ENVIRON, LeftOut
from tests.database import _all_schemas_end as _all_schemas_end
from tests.database import _schemas_end as _schemas_end
from tests.postgres import Postgres, running

# How fast a machine draws examples is no property of ours: a busy one must not fail a test.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

REQUIRE_ALL = os.environ.get("RUNNOTARY_REQUIRE_ALL") == "1"


class NothingIsLeftOut:
    """Collects what did not run and turns the end of the session into a failure."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.left_out[report.nodeid] = _reason(report)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.left_out[report.nodeid] = _reason(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.left_out and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.left_out:
            return
        terminalreporter.section("RUNNOTARY_REQUIRE_ALL=1: these tests did not run", red=True)
        for nodeid, reason in sorted(self.left_out.items()):
            terminalreporter.line(f"{nodeid}: {reason}", red=True)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    expected_failure = getattr(report, "wasxfail", None)
    if expected_failure is not None:
        return f"expected to fail: {expected_failure or 'no reason given'}"
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_configure(config: pytest.Config) -> None:
    runs_in_an_xdist_worker = hasattr(config, "workerinput")
    if REQUIRE_ALL and not runs_in_an_xdist_worker:
        config.pluginmanager.register(NothingIsLeftOut(), "nothing-is-left-out")
    if ENVIRON:
        config.pluginmanager.register(LeftOut(), "left-out")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this worker's own, started when the first test asks for it."""
    with running() as server:
        yield server
