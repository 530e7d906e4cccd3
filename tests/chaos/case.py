"""A program on a disk: starts it, and knows what an undisturbed start leaves."""

import shutil
import time

from tests.chaos import processes
from tests.chaos.invariants import DONE, Broken, check_end


class Case:
    """A program, the disk that it works on, and what it must leave there."""

    def __init__(self, program, disk, saved, names, folder):
        """Runs the program undisturbed.

        Args:
          program: of `programs.PROGRAMS`.
          disk: to work on.
          saved: folder with a copy of all inputs.
          names: files and folders of it that the program needs.
          folder: for logs.
        """
        self.program, self.disk, self._folder = program, disk, folder
        self._saved, self._names = saved, sorted(names)
        self.other = self._undisturbed(program.other) if program.other else None
        self.want = self._undisturbed()

    def _undisturbed(self, word=""):
        self.renew()
        before, trap = self.disk.used(), processes.Trap(self.disk.folder)
        process = self.start(word, trap=trap)
        process.wait()
        self.seconds = time.monotonic() - process.started
        self.needed = self.disk.used() - before  # bytes
        self.changes = trap.count
        try:
            check_end(process, {DONE})
        except Broken as error:
            raise Broken(f"{self.program.name} undisturbed: {error}") from error
        if not word:
            shutil.copytree(self.disk.out, self._folder / f"{self.program.name}_undisturbed")
        return self.found(finished=True)

    def keep(self):
        """Copies what is on the disk next to what an undisturbed start left."""
        shutil.copytree(self.disk.folder, self._folder / f"{self.program.name}_broken")

    def renew(self):
        """Empties the disk but for the inputs, which are as they were."""
        self.disk.restore(self._saved, self._names)
        self.inputs_then = self.inputs_now()
        self._starts = 0

    def inputs_now(self):
        """Size and time of every input."""
        paths = (path for path in self.disk.inputs.rglob("*") if path.is_file())
        stats = ((path, path.stat()) for path in paths if not _is_mark(path))
        return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in stats}

    def start(self, word="", trap=None, cell_trap=None):
        """Starts the program, with another word if there is one."""
        self._starts += 1
        self.log = self._folder / f"{self.program.name}_{self._starts}.log"
        words = [*self.program.command(self.disk), *([word] if word else [])]
        return processes.start(words, self.log, trap, cell_trap)

    def found(self, finished=False):
        """What is finished; what a program prints counts if it has `finished`."""
        return self.program.result(self.disk.out, self.log if finished else None)

    def moment(self, chance):
        """The number of a change of a file; often an early one, as a resumed run makes fewer."""
        return chance.randint(1, max(1, int(self.changes * chance.choice([0.3, 1.0, 1.0]))))


def _is_mark(path):
    return path.name.startswith(".") or path.name.endswith("lock")
