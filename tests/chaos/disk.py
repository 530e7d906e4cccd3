"""A small disk in memory, which can be made full or read-only.

It is a tmpfs that this process and its children alone see: `inside` starts the program again in a
namespace of its own, where mounting needs no rights.
"""

import os
import pathlib
import shutil
import subprocess
import sys

_MARK = "VPT_GEN_CHAOS"
_ROOM = 1 << 30  # bytes, if nothing is limited


def inside(environment):
    """Returns if this process has a namespace of its own; else starts the program again in one."""
    if os.environ.get(_MARK) == "inside":
        return
    if not can_mount():
        sys.exit("error: full and read-only disks need Linux with unshare and user namespaces.")
    words = ["unshare", "--map-root-user", "--mount", sys.executable, *sys.orig_argv[1:]]
    os.execvpe(words[0], words, {**os.environ, **environment, _MARK: "inside"})


def can_mount():
    """Whether this machine lets a user mount a disk in a namespace."""
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(probe, capture_output=True).returncode
    )


class Disk:
    """A disk at a folder; `inputs`, `out` and `cache` lie on it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs")

    @property
    def inputs(self):
        return self.folder / "in"

    @property
    def out(self):
        return self.folder / "out"

    def used(self):
        return shutil.disk_usage(self.folder).used

    def limit(self, free):
        """Leaves so many bytes free."""
        self._mount("-o", f"remount,size={self.used() + free}")

    def read_only(self):
        self._mount("-o", "remount,ro")

    def repair(self):
        """Makes the disk large and writable again."""
        self._mount("-o", f"remount,rw,size={_ROOM}")

    def clear(self):
        """Empties the disk but for its folders."""
        for name in ("in", "out", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()

    def restore(self, saved, names):
        """Brings back these of the inputs that `save` copied; nothing else is on the disk."""
        self.clear()
        for name in names:
            copy = shutil.copytree if (saved / name).is_dir() else shutil.copy2
            copy(saved / name, self.inputs / name)

    def save(self, folder):
        shutil.copytree(self.inputs, folder)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def _mount(self, *words):
        subprocess.run(["mount", *words, str(self.folder)], check=True)
