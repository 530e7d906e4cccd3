"""The table: faults by program and kind, and how many broke a promise."""

import collections


class Table:
    """Counts faults, and keeps what they broke."""

    def __init__(self, kinds):
        self._kinds = list(kinds)
        self._counts = collections.Counter()
        self._broken = collections.Counter()
        self.findings = collections.defaultdict(list)  # message -> commands

    @property
    def total(self):
        return sum(self._counts.values())

    def add(self, program, kind):
        self._counts[program, kind] += 1

    def add_broken(self, program, kind, message, command):
        self._broken[program, kind] += 1
        self.findings[f"{program}, {kind}: {message}"].append(command)

    def __str__(self):
        programs = list(dict.fromkeys(program for program, _ in self._counts))
        rows = [[p, *(self._cell(p, k) for k in self._kinds), self._sum(p)] for p in programs]
        total = ["all", *(self._of_kind(k) for k in self._kinds), self._sum()]
        lines = [["program", *self._kinds, "all"], *rows, total]
        lines.insert(1, ["---"] * len(lines[0]))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _cell(self, program, kind):
        return _spelled(self._counts[program, kind], self._broken[program, kind])

    def _of_kind(self, kind):
        return _spelled(*(sum(n for (_, k), n in c.items() if k == kind) for c in self._both()))

    def _sum(self, program=None):
        def total(counter):
            return sum(n for (p, _), n in counter.items() if program in (None, p))

        return _spelled(*map(total, self._both()))

    def _both(self):
        return self._counts, self._broken


def _spelled(count, broken):
    return f"{count} ({broken} broken)" if broken else str(count)
