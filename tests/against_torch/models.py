"""Our nets' twins in PyTorch, with our random weights, and what is run of them."""

import torch

from tests.against_torch import gpt, layers, maskgit, vqgan
from tests.against_torch.weights import load
from vpt_gen.benchmark.programs import CHOICE_TEMPERATURE
from vpt_gen.benchmark.sizes import tokenizer_params, transformer_params
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

TWINS = {VQGAN: vqgan.VQGAN, GPT: gpt.GPT, MaskGIT: maskgit.MaskGIT}
WHAT = ("tokenize", "detokenize", "decode")
WAYS = ("eager", "compile")


def net_of(what, size):
    return size.transformer if what == "decode" else size.tokenizer


def make(request, size):
    """Makes the twin of a request's net, compiled if its way is that."""
    net, is_transformer = net_of(request.what, size), request.what == "decode"
    params = (transformer_params if is_transformer else tokenizer_params)(size)
    with torch.device("meta"):
        model = TWINS[type(net)](net)
    load(model, params, getattr(torch, request.dtype))
    if not is_transformer:
        model.to(memory_format=torch.channels_last)
    if request.way == "compile":
        model.compile(dynamic=False)
    return model


def decode(model, request, size, prompts, noise=None):
    """Draws tokens (B, N) after prompts (B, S, D).

    `noise` is as in `GPT.sample` or `MaskGIT.decode`; None: new noise.
    """
    b, n, k = len(prompts), size.num_tokens, size.transformer.codebook_size
    gumbel = layers.gumbel
    if size.transformer.family == "ar":
        return model.sample(prompts, request.num_tokens or n, noise or (lambda _: gumbel((b, k))))

    def of_iteration(_):
        return gumbel((b, n + 1, k)), gumbel((b, n + 1))

    iterations = request.num_iterations
    return model.decode(prompts, n, iterations, CHOICE_TEMPERATURE, noise or of_iteration)
