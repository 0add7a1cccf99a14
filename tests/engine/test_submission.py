"""What may be said about a run, whichever door it comes through."""

from __future__ import annotations

import pytest

from runnotary.core.errors import InvalidInput
from runnotary.engine.submission import Wishes, check_changes, check_words


@pytest.mark.parametrize("kind", ["monitors", "managers"])
@pytest.mark.parametrize("who", ["ana", "ana@example.org", "", "user:", "user:a b"])
def test_people_of_a_run_are_somebody(kind: str, who: str) -> None:
    with pytest.raises(InvalidInput):
        check_words(Wishes(**{kind: ("user:eve", who)}))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        check_changes({kind: ["user:eve", who]})


def test_people_of_a_run_are_users_services_and_groups() -> None:
    who = ("user:ana@example.org", "service:ci", "group:qa")
    check_words(Wishes(monitors=who, managers=who))
    check_changes({"monitors": list(who), "managers": []})
