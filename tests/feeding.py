"""`python -m tests.feeding`: does the input keep up with a full-size tuning step on this machine?

Measures, one after the other in one process: a tuning step of MaskGIT at its published size (256
px, random weights, 32 prompt tokens) on batches from a token cache, and the rates of
`vpt_gen.data.speed` on a folder of made JPEGs (500x375, quality 90). Prints the table of
docs/data.md. Not collected by pytest: it measures, and judges nothing.
"""

import argparse
import pathlib
import tempfile

import jax
import jax.numpy as jnp

from tests.decoders import photograph
from vpt_gen.config.fields import default_config
from vpt_gen.data import speed
from vpt_gen.data.tokens.cache import token_batches
from vpt_gen.methods import adaptation, prompts
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective
from vpt_gen.training.optimizers import make_optimizer

NUM_TOKENS, VIEWS, CLASSES = 256, 8, 102
PICTURES = 64


def full_size_task(config):
    """Prompt tuning of a MaskGIT with random weights; the tokenizer is not used."""
    net = MaskGIT(num_tokens=NUM_TOKENS)
    tokens = jnp.zeros((1, NUM_TOKENS), jnp.int32)
    params = jax.jit(net.init)(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    generator = PromptGenerator(
        num_classes=CLASSES,
        num_prompt_tokens=config.prompt.num_prompt_tokens,
        feature_size=net.hidden_size,
        dropout_rate=config.prompt.dropout_rate,
    )
    return adaptation.make_task(
        prompts.make_method(generator),
        net,
        Objective(net, config.label_smoothing, config.mask_schedule),
        VQGAN(),
        {"transformer": params, "tokenizer": {}},
        make_optimizer(config.optimizer, config.num_steps),
        num_tokens=NUM_TOKENS,
        decode_options={},
    )


def updates(task, batches):
    """Endless updates, each waited for."""
    step = jax.jit(task.train_step, donate_argnums=0)
    state = task.init(jax.random.key(0))
    for batch in batches:
        state, _ = jax.block_until_ready(step(state, task.frozen, batch, jax.random.key(1)))
        yield


def write_jpegs(folder: pathlib.Path) -> None:
    """Different parts of one large made photograph."""
    whole = photograph(1024)
    (folder / "parts").mkdir()
    for i in range(PICTURES):
        x, y = 8 * i, 600 - 9 * i
        whole.crop((x, y, x + 500, y + 375)).save(folder / "parts" / f"{i}.jpg", quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    config = default_config("prompts")
    config.batch_size = options.batch_size
    config.data.holdout = 0.0
    config.data.flip = config.data.random_crop = True
    config.data.cache_views = VIEWS
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "cache").mkdir()
        cache = speed.random_cache(folder / "cache", VIEWS, NUM_TOKENS)
        batches = token_batches(cache, batch_size=options.batch_size, seed=0)
        step = speed.rate(
            updates(full_size_task(config), batches), options.seconds, options.batch_size
        )
        (folder / "jpegs").mkdir()
        write_jpegs(folder / "jpegs")
        config.data.path = str(folder / "jpegs")
        rates = speed.measure(config, NUM_TOKENS, 5.0)
    print(f"{jax.devices()[0].device_kind}, batches of {options.batch_size}")
    print(speed.table({"what a full-size tuning step takes": step, **rates}))
    fed = {name: rate / step for name, rate in list(rates.items())[:2]}
    for name, ratio in fed.items():
        print(f"{name}: {ratio:,.1f} times what the step takes")


if __name__ == "__main__":
    main()
