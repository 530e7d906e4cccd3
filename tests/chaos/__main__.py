"""Every program under random faults, and what it promises checked after each.

    python -m tests.chaos --faults=1000 --seed=0

A life of a program is three faults, one after another, on the same disk: killed, terminated or
interrupted at a random moment, on a full or read-only disk, with a damaged or vanished file, or two
at once. After each fault the exit code is a documented one, nothing has printed a traceback,
nothing finished is lost and nothing is half-written. At the end of a life the same command
must leave what it leaves undisturbed, bit for bit. Prints faults by program and kind, and for each
broken promise the command that repeats it. Linux only; about two seconds per fault on one core.
"""

import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

from tests.chaos import disk
from tests.chaos.table import Table
from tests.programs import ROOT

_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "chaos"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "XLA_FLAGS": "",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
_PER_LIFE = 3


def live(case, seed, kinds, table, repeat):
    """Disturbs a program three times, then lets it end; whether it broke a promise."""
    from tests.chaos import faults
    from tests.chaos.invariants import Broken

    case.renew()
    done, kind = [], ""
    try:
        for number in range(2 * _PER_LIFE):
            # Of its own, as a disturbed program does not always get equally far.
            chance = random.Random(f"{seed} {number}")
            kind = chance.choice(kinds)
            came = faults.FAULTS[kind](case, chance)
            if came:
                table.add(case.program.name, kind)
                done.append(kind)
            if len(done) == _PER_LIFE:
                break
        kind = done[-1] if done else kind
        faults.finish(case)
    except Broken as error:
        if not done or done[-1] != kind:
            table.add(case.program.name, kind)
        message = str(error).replace(str(case.disk.folder), "")
        table.add_broken(case.program.name, kind, message, repeat)
        print(f"broken: {case.program.name}, {', '.join(done)}; {kind}: {message}\n  {repeat}")
        log = case.log.read_text(errors="replace")
        print(*(f"    {line}" for line in log.splitlines()[-20:]), sep="\n")
        return True
    return False


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000, help="how many, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", default="", help="names, by default all")
    parser.add_argument("--kinds", default="", help="kinds of faults, by default all")
    parser.add_argument("--life", type=int, help="only that life; keeps what is left if it breaks")
    return parser.parse_args()


def chosen(given, known):
    names = [name for name in given.split(",") if name] or list(known)
    if unknown := set(names) - set(known):
        sys.exit(f"error: {', '.join(sorted(unknown))} is none of {', '.join(known)}.")
    return names


def attack(options, folder, place, table):
    """Runs lives until there were enough faults."""
    from tests.chaos import faults, processes, programs
    from tests.chaos.case import Case

    names = chosen(options.programs, programs.PROGRAMS)
    kinds = chosen(options.kinds, faults.FAULTS)
    os.environ["VPT_GEN_CACHE"] = str(place.folder / "cache")
    attacked = [programs.PROGRAMS[name] for name in names]
    # `main` also makes runs for the others.
    needed = ["vpt_gen.main", *(module for program in attacked for module in program.modules)]
    processes.prepare(dict.fromkeys(needed))
    written, saved = programs.write_inputs(place, attacked), folder / "in"
    place.save(saved)
    cases, lives = {}, dict.fromkeys(names, 0)
    order = random.Random(options.seed)
    while table.total < options.faults:
        (program,) = order.choices(attacked, [program.often for program in attacked])
        name = program.name
        if name not in cases:
            inputs = set().union(*(written[maker] for maker in program.needs))
            cases[name] = Case(program, place, saved, inputs, folder)
            about = f"{cases[name].seconds:.1f} s and {cases[name].changes} changes of files"
            print(f"{name} undisturbed: {about}")
        number = lives[name] if options.life is None else options.life
        lives[name] += 1
        repeat = f"python -m tests.chaos --programs={name} --seed={options.seed} --life={number}"
        if options.kinds:
            repeat += f" --kinds={options.kinds!r}"
        broke = live(cases[name], f"{options.seed} {name} {number}", kinds, table, repeat)
        if options.life is not None:
            if broke:
                cases[name].keep()
                print(f"What is left: {folder}")
            break


def main():
    options = parse()
    disk.inside(_ENVIRONMENT)
    start = time.monotonic()
    sys.stdout.reconfigure(line_buffering=True)
    # Not a TemporaryDirectory, which every forked child would remove at its end.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaos"))
    place = disk.Disk(folder / "disk")
    from tests.chaos import faults  # Imports JAX, which reads the environment.

    table = Table(faults.FAULTS)
    try:
        attack(options, folder, place, table)
    except KeyboardInterrupt:
        print("stopped; the table has what was done until now.")
    finally:
        place.close()
        if options.life is None or not table.findings:
            shutil.rmtree(folder)
    print(f"\n{table}\n\n{table.total} faults in {(time.monotonic() - start) / 60:.0f} minutes.")
    for finding, repeats in sorted(table.findings.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(repeats)} x {finding}\n  {repeats[0]}")
    sys.exit(bool(table.findings))


if __name__ == "__main__":
    main()
