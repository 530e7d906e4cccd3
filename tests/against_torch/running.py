"""A program in PyTorch or NumPy that can be run, as `benchmark.running.Running`."""

import dataclasses
import os

import torch

from tests.against_torch import floors, models
from vpt_gen.benchmark import rates
from vpt_gen.benchmark.running import mean_seconds


@dataclasses.dataclass(frozen=True)
class Facts:
    units: int
    unit: str
    flops: int = 0
    bytes: int = 0


class Running:
    """Builds the program of a request, and compiles it, if its way is that, in a first run."""

    def __init__(self, request, size):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        make = _floor if request.what in rates.RATES else _program
        self._run, self.facts = make(request, size)
        self.run()

    def run(self):
        """Returns the seconds of a run; a mean of short runs."""
        with torch.no_grad():
            return mean_seconds(self._run)


def _floor(request, size):
    program = rates.build(size, request)
    given = floors.inputs(request.what, request.way, program.arguments)
    facts = Facts(program.units, program.unit, program.flops, program.bytes)
    return (lambda: floors.FUNCTIONS[request.what](*given)), facts


def _program(request, size):
    model, b = models.make(request, size), request.batch
    random = torch.Generator().manual_seed(0)
    if request.what == "tokenize":
        images = torch.rand((b, size.image_size, size.image_size, 3), generator=random)
        return (lambda: model(images)), Facts(b, "images")
    if request.what == "detokenize":
        shape = (b, *size.tokenizer.token_shape(size.image_size))
        tokens = torch.randint(size.tokenizer.codebook_size, shape, generator=random)
        return (lambda: model(tokens)), Facts(b, "images")
    count = request.num_prompt_tokens or size.num_prompt_tokens
    prompts = torch.randn((1, count, size.transformer.hidden_size), generator=random)
    prompts = prompts.expand(b, -1, -1)
    facts = Facts(b, "images")
    if size.transformer.family == "ar":
        facts = Facts(b * (request.num_tokens or size.num_tokens), "tokens")
    return (lambda: models.decode(model, request, size, prompts)), facts
