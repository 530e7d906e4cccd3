"""`python -m tests.decoder_differences --checkpoint=runs/demo`: what approximate decoding changes.

For every approximate decoder: how far its logits are from the exact ones for the same known tokens,
how many draws that changes, and, for whole runs by the same keys, how many tokens and how much of
the image differ from the exact decoder's. Two runs by other keys give the scale. Not collected by
pytest; a minute for the demo's size.
"""

import argparse
import functools
from collections.abc import Iterator
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode import approximate, halton
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.runs.opened import TunedRun, open_run

DECODERS = [("masked", 0), ("frontier", 0), ("frontier", 4), ("frontier", 3)]


class Case:
    """A tuned run, and prompts and keys of some of its images."""

    def __init__(self, run: TunedRun, count: int, schedule: str):
        self.sampler = run.sampler
        self.net, self.n = run.sampler.transformer, run.sampler.num_tokens
        self.params = jax.tree.map(jnp.asarray, run.sampler.frozen["transformer"])
        self.iterations, self.schedule = run.sampler.options["num_iterations"], schedule
        classes = jnp.arange(count) % run.sampler.method.num_classes
        self.prompts = run.sampler.method.generator.apply({"params": run.params}, class_ids=classes)

    def decode(self, seed: int, decoder: str, refresh_every: int = 0):
        keys = jax.random.split(jax.random.key(seed), len(self.prompts))
        run = functools.partial(
            generate,
            self.net,
            num_tokens=self.n,
            decoder=decoder,
            refresh_every=refresh_every,
            num_iterations=self.iterations,
            schedule=self.schedule,
        )
        return jax.jit(lambda params, keys, prompts: run(params, keys, prompts=prompts))(
            self.params, keys, self.prompts[None]
        )

    def images(self, tokens) -> np.ndarray:
        return np.asarray(
            tokens_to_images(self.sampler.tokenizer, self.sampler.frozen["tokenizer"], tokens)
        )

    def draws(self, seed: int, decoder: str, refresh_every: int) -> Iterator[tuple]:
        """Of every iteration: places, logits, and what was drawn; as they come."""
        recorded = []
        plain = halton.draw

        def draw(keys, positions, logits):
            drawn = plain(keys, positions, logits)
            jax.debug.callback(
                lambda *x: recorded.append(x), positions, logits, drawn, keys, ordered=True
            )
            return drawn

        with mock.patch.object(halton, "draw", draw):
            tokens, revealed_at = jax.block_until_ready(self.decode(seed, decoder, refresh_every))
        jax.effects_barrier()
        logits_of = jax.jit(functools.partial(self.net.apply, {"params": self.params}))
        for iteration, (positions, logits, drawn, keys) in enumerate(recorded):
            known = jnp.where(revealed_at < iteration, tokens, MASK_TOKEN_ID)
            exact = jnp.take_along_axis(
                logits_of(known, self.prompts), positions[..., None], axis=1
            )
            now = jnp.take_along_axis(revealed_at, positions, axis=1) == iteration
            yield now, logits, exact, drawn, plain(keys, positions, exact)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a NAR prompt-tuning run's workdir")
    parser.add_argument("--count", type=int, default=20, help="images")
    parser.add_argument("--schedule", default="cosine")
    args = parser.parse_args()
    case = Case(open_run(args.checkpoint, None), args.count, args.schedule)
    exact, _ = case.decode(0, "halton")
    other, _ = case.decode(1, "halton")
    print(f"{args.count} images, {case.iterations} iterations, schedule {args.schedule}")
    print(
        f"{'decoder':14}{'work':>6}{'logits off':>12}{'other draws':>13}"
        f"{'other tokens':>14}{'image RMS':>11}"
    )
    counts = halton.reveal_counts(case.n, case.iterations, case.schedule)
    for decoder, refresh_every in DECODERS:
        off, changed, total = 0.0, 0, 0
        for now, logits, correct, drawn, wanted in case.draws(0, decoder, refresh_every):
            # Logits matter up to a constant.
            difference = jax.nn.log_softmax(logits) - jax.nn.log_softmax(correct)
            weights = jax.nn.softmax(correct)
            off += float(jnp.sum(jnp.sqrt(jnp.sum(weights * difference**2, -1)) * now))
            changed += int(jnp.sum((drawn != wanted) & now))
            total += int(now.sum())
        tokens, _ = case.decode(0, decoder, refresh_every)
        work = approximate.recomputed_share(counts, decoder, refresh_every, case.prompts.shape[1])
        name = decoder + (f", {refresh_every}" if refresh_every else "")
        print(
            f"{name:14}{work:6.0%}{off / total:12.3f}{changed / total:13.1%}"
            f"{np.mean(tokens != exact):14.1%}{rms(case.images(tokens), case.images(exact)):11.3f}"
        )
    print(
        f"{'other keys':14}{'':6}{'':12}{'':13}{np.mean(other != exact):14.1%}"
        f"{rms(case.images(other), case.images(exact)):11.3f}"
    )


def rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


if __name__ == "__main__":
    main()
