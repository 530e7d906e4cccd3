"""The collectives of a compiled program, read from its text."""

import collections
import re

_OPERATION = re.compile(
    r"= (?P<type>\([^)]*\)|\S+) "
    r"(?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
_ARRAY = re.compile(r"[a-z]+\d*\[([\d,]*)\]")


def collectives(compiled_text):
    """Kind -> shapes of what the operations of that kind give, one for every array."""
    found = collections.defaultdict(list)
    for match in _OPERATION.finditer(compiled_text):
        for shape in _ARRAY.findall(match["type"]):
            found[match["kind"]].append(tuple(int(size) for size in shape.split(",") if size))
    return dict(found)
