"""What a process that lasts tells Python."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import gc
from runnotary.app import system
kept = [[n] for n in range(1000)]
before = gc.get_freeze_count()
system.settle_memory()
young = sum(map(len, map(gc.get_objects, range(3))))
print(gc.get_freeze_count() - before > 1000 > young, gc.get_threshold()[0] == system.YOUNG_OBJECTS)
"""


def test_what_is_there_when_a_server_begins_is_not_looked_through_again() -> None:
    said = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "True"]
