"""Stand-ins for gcloud, sbatch and the like that note how they are called."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

# A cloud of one slice with two workers, whose homes are folders. What is to be run on a worker is
# run, in its home, while the slice is READY.
GCLOUD = """
state="$(cat "$FAKE/state" 2>/dev/null)"
worker() { echo "$FAKE/worker$1"; }
case "$*" in
  *" create "*) echo "${FAKE_READY:-READY}" >"$FAKE/state" ;;
  *" describe "*) [ -n "$state" ] && echo "$state" ;;
  *" delete "*) rm -rf "$FAKE/state" "$(worker 0)" "$(worker 1)" ;;
  *" scp "*)
    for n in 0 1; do mkdir -p "$(worker $n)" && cp "$5" "$(worker $n)/${6#*:}"; done
    ;;
  *" ssh "*)
    case "$state" in READY | ACTIVE) ;; *) exit 255 ;; esac
    case "$6" in --worker=all) numbers="0 1" ;; *) numbers="${6#--worker=}" ;; esac
    for n in $numbers; do
      (cd "$(worker $n)" && HOME="$PWD" FAKE_WORKER=$n bash -c "${7#--command=}") || exit
    done
    ;;
esac
"""


class Fakes:
    """A folder of programs at the front of PATH, and the calls that they noted."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        # What worker.sh and setup.sh take for an environment with the package in it.
        (folder / "venv" / "bin").mkdir(parents=True)
        for extra in ("tpu", "cuda"):
            stamp = folder / "venv" / f".installed-{extra}"
            stamp.touch()
            os.utime(stamp, (2**32, 2**32))
        (folder / "bin" / "python3").symlink_to(sys.executable)

    def add(self, name: str, script: str = "") -> None:
        """A program that notes its arguments and then runs `script`."""
        self._write(self.folder / "bin" / name, f'echo "{name} $*" >>"$FAKE/calls"\n{script}')

    def add_training(self, script: str) -> None:
        """What runs as `python -m vpt_gen.main`, given its flags."""
        note = 'shift 2\necho "$*" >>"$FAKE/trainings"\n'
        self._write(self.folder / "venv" / "bin" / "python", note + script)

    def _write(self, path: pathlib.Path, script: str) -> None:
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)

    def coreutils(self) -> pathlib.Path:
        """A folder with what the launchers' checks need, and nothing else."""
        folder = self.folder / "coreutils"
        folder.mkdir()
        for name in ("bash", "dirname"):
            (folder / name).symlink_to(shutil.which(name))
        return folder

    def noted(self, name: str = "calls") -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def run(self, *command: str, **options) -> subprocess.CompletedProcess:
        environment = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "FAKE": str(self.folder),
            "VPT_GEN_VENV": str(self.folder / "venv"),
        }
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    def launch(self, script: str, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("bash", f"launch/{script}.sh", *arguments)


def error_of(run: subprocess.CompletedProcess) -> str:
    """The one sentence of a launcher that refuses."""
    assert run.returncode == 2, run
    assert not run.stdout
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    return line
