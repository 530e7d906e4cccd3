"""`python -m tests.full_size maskgit256 --folder=full`: the published sizes, end to end.

The published files cannot always be had, their structure can: writes random weights in the
published format and size, and serves them. Then `convert` fetches them and is killed on the way;
the same command resumes and converts them; `main` makes the tokens and takes one tuning step, then
as many as --updates says with the same tokens; `sample` draws one image, or --num. Tells seconds,
CPU seconds and peak memory of each process. Not collected by pytest: minutes, gigabytes.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
from flax import serialization

from tests import (
    golden_ar,
    golden_halton,
    golden_llamagen,
    golden_rar,
    golden_titok,
    made,
    publishers,
    torch_files,
)
from vpt_gen.checkpoints.released import layout, published
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

# Of a golden folder: names and shapes of the published files, as the released code gives them.
_KEYS = "real_size_keys.json"
# Bytes that arrive before a download is interrupted.
_BEFORE_THE_KILL = 10**8


def random_values(name: str, shape, generator) -> np.ndarray:
    """Weights that neither explode nor vanish: norms start at 1, all else is small."""
    if name.endswith("attn.mask"):  # A buffer of the released GPT: which positions a row sees.
        return np.broadcast_to(np.tri(shape[-1], dtype=np.float32), shape)
    if name.endswith("scale") or (len(shape) == 1 and name.endswith("weight")):
        return np.ones(shape, np.float32)
    return generator.standard_normal(shape, np.float32) * np.float32(0.02)


def write_maskgit(folder: pathlib.Path, size: int, generator) -> None:
    tokens = jnp.zeros((1, (size // 16) ** 2), jnp.int32)
    transformer = MaskGIT(num_tokens=tokens.shape[1])
    shapes = {
        "tokenizer": layout.param_shapes(VQGAN(), layout.image_batch(16)),
        "transformer": layout.param_shapes(transformer, tokens, class_ids=tokens[:, 0]),
    }
    for part, names in zip(
        ("tokenizer", "transformer"), published.BACKBONES[f"maskgit{size}"].files, strict=True
    ):
        params = {n: random_values(n, shape, generator) for n, shape in shapes[part].items()}
        content = serialization.msgpack_serialize({"params": layout.nest(params)})
        (folder / published.FILES[names].file).write_bytes(content)


def write_taming(folder: pathlib.Path, generator) -> None:
    """The class-conditional file, with the names and shapes that the released code gives."""
    keys = json.loads((golden_ar.FOLDER / "real_size_keys.json").read_text())
    vqgan = {
        f"first_stage_model.{name}": tuple(shape)
        for name, (shape, _) in keys["vqgan_imagenet_f16_16384"].items()
        if not name.startswith("loss.")
    }
    gpt = {
        name.replace("blocks.0.", f"blocks.{i}."): tuple(shape)
        for name, (shape, _) in keys["cin_transformer.transformer"].items()
        for i in range(GPT().num_layers if "blocks.0." in name else 1)
    }
    shapes = {**vqgan, **gpt}
    torch_files.write(
        folder / published.FILES["taming_cin_transformer"].file,
        shapes,
        lambda name: random_values(name, shapes[name], generator),
    )


def write_llamagen_tokenizer(folder: pathlib.Path, generator) -> None:
    """The tokenizer of LlamaGen and Halton-MaskGIT."""
    name = published.FILES["llamagen_f16"].file
    shapes = golden_llamagen.json(_KEYS)["tokenizers"][name]
    torch_files.write(
        folder / name, shapes, lambda name: random_values(name, shapes[name], generator), "model"
    )


def write_llamagen(folder: pathlib.Path, model: str, generator) -> None:
    file, shapes = _file_and_shapes(model, r"c2i_(\w+)_\d+\.pt", golden_llamagen)
    torch_files.write(
        folder / file, shapes, lambda name: random_values(name, shapes[name], generator), "model"
    )


def write_halton(folder: pathlib.Path, model: str, generator) -> None:
    """A file names the matrix that is both the table of tokens and the head twice."""
    file, shapes = _file_and_shapes(model, r"ImageNet_\d+_(\w+)\.pth", golden_halton)
    # Of a size, there are files for several grids.
    num_tokens = published.FILES[f"{model}_transformer"].fields["num_tokens"]
    shapes["pos_emb.weight"] = (num_tokens, shapes["tok_emb.weight"][1])

    def values(name):
        is_shared = name in ("tok_emb.weight", "head.weight")
        return random_values(
            name, shapes[name], np.random.default_rng(1) if is_shared else generator
        )

    rest = {"iter": 0, "global_epoch": 0, "optimizer_state_dict": None}
    torch_files.write(folder / file, shapes, values, "model_state_dict", **rest)


def _file_and_shapes(model: str, pattern: str, golden) -> tuple[str, dict[str, tuple[int, ...]]]:
    """The published file of a transformer, whose name tells its size, and {name: shape}."""
    file = published.FILES[published.BACKBONES[model].transformer].file
    size = re.fullmatch(pattern, file)[1]
    return file, _of_all_layers(golden.json(_KEYS)["transformers"][size])


def _of_all_layers(transformer: dict) -> dict[str, tuple[int, ...]]:
    """{name: shape} of all layers, from those of one, whose names have {i}."""
    return {
        name.replace("{i}", str(i)): tuple(shape)
        for name, shape in transformer["tensors"].items()
        for i in range(transformer["layers"] if "{i}" in name else 1)
    }


def write_state_dict(path: pathlib.Path, keys: dict, generator) -> None:
    """Writes a file of RAR or TiTok, a bare state dict; names have {0..23} for 24 layers."""
    shapes = {name: tuple(shape) for key, shape in keys.items() for name in _expanded(key)}
    torch_files.write(
        path, shapes, lambda name: random_values(name, shapes[name], generator), section=None
    )


def _expanded(name: str) -> list[str]:
    """Names of all layers: `blocks.{0..1}.bias` -> `blocks.0.bias`, `blocks.1.bias`."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", name)
    if not found:
        return [name]
    before, after = name[: found.start()], name[found.end() :]
    numbers = range(int(found[1]), int(found[2]) + 1)
    return [whole for number in numbers for whole in _expanded(f"{before}{number}{after}")]


def write_rar_or_titok(folder: pathlib.Path, model: str, generator) -> None:
    golden = golden_rar if model.startswith("rar") else golden_titok
    of_files = golden.json(_KEYS)
    for name in published.BACKBONES[model].files:
        file = published.FILES[name].file
        entry = of_files[file] if file in of_files else of_files[pathlib.Path(file).stem]
        write_state_dict(folder / file, entry["keys"], generator)


def write_weights(model: str, folder: pathlib.Path) -> None:
    generator = np.random.default_rng(0)
    if model == "taming256":
        write_taming(folder, generator)
    elif model.startswith(("halton", "llamagen")):
        write_llamagen_tokenizer(folder, generator)
        write = write_halton if model.startswith("halton") else write_llamagen
        write(folder, model, generator)
    elif model.startswith(("rar", "titok")):
        write_rar_or_titok(folder, model, generator)
    else:
        write_maskgit(folder, int(model.removeprefix("maskgit")), generator)


def start(server: publishers.Publisher, *command: str) -> subprocess.Popen:
    """Starts a program of ours that finds the publishers at the server."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.publishers", server.address, *command],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "VPT_GEN_CACHE": str(server.folder.parent / "cache")},
    )


def run(label: str, server: publishers.Publisher, *command: str) -> None:
    """Runs a program of ours and tells its time, its CPU time and its peak memory."""
    begun = time.monotonic()
    _, status, usage = os.wait4(start(server, *command).pid, 0)
    if status:
        sys.exit(f"{label} failed: python -m {' '.join(command)}")
    seconds = time.monotonic() - begun
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss / 1e6
    print(f"{label:32}{seconds:8.0f} s{cpu:8.0f} CPU s{peak:8.2f} GB", flush=True)


def interrupt(server: publishers.Publisher, *command: str) -> None:
    """Kills a program in the middle of its first download."""
    server.stall_after = _BEFORE_THE_KILL
    process = start(server, *command)
    server.stalled.wait()
    process.kill()
    process.wait()
    server.stall_after = None
    server.ended.set()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=published.BACKBONES)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=pathlib.Path, help="class folders; by default made ones")
    parser.add_argument("--updates", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--num", type=int, default=1, help="images to draw")
    options = parser.parse_args()
    folder = options.folder.absolute()
    weights, data = folder / "publisher", folder / "data"
    weights.mkdir(parents=True, exist_ok=True)
    # In a process of its own: what it takes would count as memory of the next ones.
    writer = multiprocessing.get_context("spawn").Process(
        target=write_weights, args=(options.model, weights)
    )
    writer.start()
    writer.join()
    for path in weights.iterdir():
        print(f"{path.name}: {path.stat().st_size / 1e9:.2f} GB", flush=True)
    if options.images:
        data = options.images.absolute()
    else:
        made.write_folder(data, count=2, side=64)
    backbone = published.BACKBONES[options.model]
    nets = folder / "nets"
    converting = ["vpt_gen.convert", f"--name={options.model}", f"--weights_dir={nets}"]
    tuning = [
        "vpt_gen.main",
        f"--config=configs/folder.py:{options.model}",
        f"--config.data.path={data}",
        f"--config.data.cache_dir={folder / 'tokens'}",
        "--config.data.cache_views=1",
        f"--config.backbone.tokenizer={nets / backbone.tokenizer}",
        f"--config.backbone.transformer={nets / backbone.transformer}",
        f"--config.batch_size={options.batch_size}",
        "--config.eval_every=0",
        f"--config.decode.batch_size={min(options.num, 8)}",
    ]
    with publishers.serving(weights) as server:
        interrupt(server, *converting)
        run("resume, convert", server, *converting)
        for file, place in server.asked:
            print(f"asked for {file}, {place or 'from its beginning'}")
        for updates in sorted({1, options.updates}):
            workdir = folder / f"run_{updates}"
            label = "make tokens, 1 update" if updates == 1 else f"{updates} updates"
            run(label, server, *tuning, f"--workdir={workdir}", f"--config.num_steps={updates}")
        first_class = min(path.name for path in data.iterdir())
        drawing = [f"--checkpoint={workdir}", f"--classes={first_class}", "--offline"]
        run(f"images: {options.num}", server, "vpt_gen.sample", *drawing, f"--num={options.num}")


if __name__ == "__main__":
    main()
