"""The verifier and the parts of it as one file that needs nothing of this product: `verify.py` in a bundle.

Nothing is rewritten: the imports of all parts stand together at the top, those of the product fall away, and
the parts follow each other as they are.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Final

from runnotary.exports import bundle_keys, bundle_record, bundle_zip, verifier

PARTS: Final[Sequence[ModuleType]] = (bundle_zip, bundle_keys, bundle_record, verifier)
PRODUCT: Final = __name__.partition(".")[0]


@cache
def program() -> bytes:
    """Return the verifier as one file."""
    plain: set[str] = set()
    named: defaultdict[str, set[str]] = defaultdict(set)
    bodies = []
    for part in PARTS:
        lines = inspect.getsource(part).splitlines()
        said, *nodes = ast.parse("\n".join(lines)).body
        for node in nodes:
            if isinstance(node, ast.Import):
                plain |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named[node.module or ""] |= {alias.name for alias in node.names}
        for node in (said, *nodes):
            if node is said or isinstance(node, ast.Import | ast.ImportFrom):
                lines[node.lineno - 1 : node.end_lineno] = [""] * len(
                    lines[node.lineno - 1 : node.end_lineno]
                )
        bodies.append("\n".join(lines).strip("\n"))
    future = named.pop("__future__")
    imports = [f"import {name}" for name in sorted(plain)]
    imports += [
        f"from {module} import {', '.join(sorted(names))}"
        for module, names in sorted(named.items())
        if module.partition(".")[0] != PRODUCT
    ]
    head = [f'"""{verifier.__doc__}"""', f"from __future__ import {', '.join(sorted(future))}"]
    return "\n\n\n".join(["\n\n".join([*head, "\n".join(imports)]), *bodies]).encode() + b"\n"
