"""The faults: each starts a program, disturbs it, and checks what is promised.

A fault is a function of a case and a source of chance. It returns whether it came before the end
of the program, and raises `Broken` if a promise was not kept.
"""

import os
import signal
import time

from tests.chaos import invariants, processes, programs
from tests.chaos.invariants import DONE, REFUSED, Broken, check_end, check_left

# Inputs that a user may change at will: no digest is kept of them.
_USERS = ("data", "downloads", "released")
# What is reported of a run, beside what it consists of.
_STATISTICS = ("events.", "seconds.json")


def killed(case, chance):
    return _signaled(case, chance, signal.SIGKILL)


def terminated(case, chance):
    return _signaled(case, chance, signal.SIGTERM)


def interrupted(case, chance):
    return _signaled(case, chance, signal.SIGINT)


def full_disk(case, chance):
    """Little room, from none to a bit more than the program needs."""
    slack = chance.choice([0, 0, 1_200_000])  # The last is what a checkpoint asks for.
    return _on_bad_disk(case, lambda: case.disk.limit(int(chance.random() * case.needed) + slack))


def read_only_disk(case, unused_chance):
    return _on_bad_disk(case, case.disk.read_only)


def damaged_file(case, chance):
    """One file is cut, emptied, changed in one bit, or holds something else."""
    path = _choose(case, chance)
    how = chance.choice([_cut, _emptied, _flipped, _noise])
    return _with_changed(case, path, lambda content: how(content, chance), how.__name__)


def vanished_file(case, chance):
    return _with_changed(case, _choose(case, chance), lambda content: None, "vanished")


def two_at_once(case, chance):
    """The same command twice, or with another seed; sometimes one of the two is killed."""
    before, progress = case.found(), programs.newest(case.disk.out)
    word = case.program.other if case.other and chance.random() < 0.5 else ""
    trap = None
    if chance.random() < 0.4:
        trap = processes.Trap(case.disk.folder, case.moment(chance))
    first = case.start(trap=trap)
    time.sleep(chance.uniform(0, 0.7) * case.seconds)
    second = case.start(word)
    codes = {first.wait(), second.wait()}
    processes.wait_for_orphans()
    died = -signal.SIGKILL in codes
    check_end(first, {DONE, REFUSED, *([-signal.SIGKILL] if died else [])})
    check_end(second, {DONE, REFUSED})
    if DONE not in codes and not died:
        raise Broken("two at once: neither has done its work")
    if not word:
        check_left(case, before)
        invariants.check_progress(case, progress)
        return True
    found = case.found()
    results = [case.want, case.other]
    if second.code == DONE and found not in results:
        raise Broken("two at once with other seeds: the result is a mixture")
    if second.code == REFUSED and any(value != case.want.get(n) for n, value in found.items()):
        raise Broken("two at once with other seeds: the refused one left something")
    case.renew()  # The folder may rightly belong to the other one.
    return True


FAULTS = {
    "killed": killed,
    "terminated": terminated,
    "interrupted": interrupted,
    "full disk": full_disk,
    "read-only disk": read_only_disk,
    "damaged file": damaged_file,
    "vanished file": vanished_file,
    "two at once": two_at_once,
}


def finish(case):
    """The same command goes on, and ends as if nothing had happened."""
    process = case.start()
    process.wait()
    case.seconds = min(case.seconds, time.monotonic() - process.started)
    processes.wait_for_orphans()
    check_end(process, {DONE})
    invariants.check_finished(case)


def _signaled(case, chance, number):
    """A signal at some change of a file, or after some time."""
    before, progress = case.found(), programs.newest(case.disk.out)
    of_cell = case.program.has_cells and chance.random() < 0.5
    if case.changes and chance.random() < 0.7:
        trap = processes.Trap(case.disk.folder, case.moment(chance), number)
        process = case.start(**{"cell_trap" if of_cell else "trap": trap})
        process.wait()
        came = trap.sprung
    else:
        of_cell = False
        process = case.start()
        time.sleep(chance.random() * case.seconds)
        process.send(number)
        came = process.wait() != DONE
    processes.wait_for_orphans()
    # A study that lost a cell says so; a signal on the last change is too late.
    allowed = {DONE, REFUSED} if of_cell else {DONE, *invariants.codes_of(number)}
    check_end(process, allowed if came else {DONE})
    check_left(case, before)
    invariants.check_progress(case, progress)
    return came


def _on_bad_disk(case, spoil):
    before, progress = case.found(), programs.newest(case.disk.out)
    spoil()
    try:
        process = case.start()
        process.wait()
        processes.wait_for_orphans()
    finally:
        case.disk.repair()
    check_end(process, {DONE, REFUSED})
    if process.code == DONE:
        invariants.check_finished(case)
    check_left(case, before)
    invariants.check_progress(case, progress)
    return process.code != DONE or spoil == case.disk.read_only


def _choose(case, chance):
    """A file of the inputs, or one that the program wrote before."""
    own = [*_files(case.disk.out), *_files(case.disk.folder / "cache")]
    given = [path for path in _files(case.disk.inputs) if path.suffix != ".py"]
    return chance.choice(own if own and (chance.random() < 0.6 or not given) else given)


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _with_changed(case, path, change, how):
    """Starts with a changed file; if the program refuses it, puts it back."""
    before, content, stat = case.found(), path.read_bytes(), path.stat()
    place = path.relative_to(case.disk.folder)
    changed = change(content)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    case.inputs_then = case.inputs_now()
    process = case.start()
    process.wait()
    processes.wait_for_orphans()
    own = place.parts[0] != "in"
    free = not own and (place.parts[1] in _USERS or path.name.startswith(_STATISTICS))
    try:
        check_end(process, {DONE, REFUSED})
        if process.code == DONE and not free:
            invariants.check_finished(case)
        if not own and not free:
            check_left(case, before)
    except Broken as error:
        raise Broken(f"{error} [{how} {place}]") from error
    if process.code == DONE and free:
        case.renew()  # It did what was asked with the changed file.
    elif process.code == REFUSED and path.parent.is_dir():
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        case.inputs_then = case.inputs_now()
    return True


def _cut(content, chance):
    return content[: int(len(content) * chance.random())]


def _emptied(unused_content, unused_chance):
    return b""


def _flipped(content, chance):
    if not content:
        return b"\0"
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _noise(content, chance):
    return chance.randbytes(max(1, len(content)))
