"""MaskGIT in PyTorch, of the structure and the names of `nets/maskgit.py`, and its decoding.

The algorithm is the released one, as in `decode/parallel.py`.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.against_torch.layers import Attention, LayerNorm, Linear, draw
from vpt_gen.nets.maskgit import LAYER_NORM_EPSILON
from vpt_gen.nets.transformer import MASK_TOKEN_ID


def _norm(net):
    return LayerNorm(net.hidden_size, eps=LAYER_NORM_EPSILON)


class Embed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.word_embeddings = nn.Embedding(net.vocab_size, net.hidden_size)
        self.position_embeddings = nn.Embedding(net.num_tokens + 1, net.hidden_size)
        self.embeddings_ln = _norm(net)

    def forward(self, ids):
        last = self.word_embeddings.num_embeddings - 1
        words = self.word_embeddings(torch.where(ids == MASK_TOKEN_ID, last, ids))
        places = self.position_embeddings(torch.arange(ids.shape[1]))
        return self.embeddings_ln(words + places)


class AttentionBlock(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.self_attention = Attention(net.hidden_size, net.num_heads, "out")
        self.attention_output_ln = _norm(net)

    def forward(self, x):
        return self.attention_output_ln(self.self_attention(x) + x)


class Mlp(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.intermediate_output = Linear(net.hidden_size, net.intermediate_size)
        self.layer_output = Linear(net.intermediate_size, net.hidden_size)
        self.layer_output_ln = _norm(net)

    def forward(self, x):
        hidden = F.gelu(self.intermediate_output(x), approximate="tanh")
        return self.layer_output_ln(self.layer_output(hidden) + x)


class Layer(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.Attention_0, self.Mlp_0 = AttentionBlock(net), Mlp(net)

    def forward(self, x):
        return self.Mlp_0(self.Attention_0(x))


class Bias(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.bias = nn.Parameter(torch.empty(size))


class Head(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.mlm_dense = Linear(net.hidden_size, net.hidden_size)
        self.mlm_ln = _norm(net)
        self.mlm_bias = Bias(net.vocab_size)

    def forward(self, x, table):
        x = self.mlm_ln(F.gelu(self.mlm_dense(x), approximate="tanh"))
        return F.linear(x.to(table.dtype), table).float() + self.mlm_bias.bias[: len(table)]


class MaskGIT(nn.Module):
    """`net` is ours, whose fields it takes."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.Embed_0 = Embed(net)
        for i in range(net.num_layers):
            self.add_module(f"TransformerLayer_{i}", Layer(net))
        self.MlmLayer_0 = Head(net)

    def logits(self, ids, prompts):
        """Logits (B, N + 1, K) of ids (B, N + 1), whose first is the prompts' place (B, S, D)."""
        x = torch.cat([prompts, self.Embed_0(ids)[:, 1:]], dim=1)
        for i in range(self.net.num_layers):
            x = getattr(self, f"TransformerLayer_{i}")(x)
        table = self.Embed_0.word_embeddings.weight[: self.net.codebook_size]
        return self.MlmLayer_0(x[:, -ids.shape[1] :], table)

    def forward(self, ids, prompts, num_masked, temperature, noises):
        """One iteration: ids (B, L) -> all of them as drawn, and with the least confident masked.

        Args:
          ids: `MASK_TOKEN_ID` where unknown.
          prompts: (B, S, D).
          num_masked: (B,) tokens to mask again.
          temperature: () of the noise of that choice.
          noises: Gumbel noise of the tokens (B, L, K), and of the choice (B, L).
        """
        logits, unknown = self.logits(ids, prompts), ids == MASK_TOKEN_ID
        sampled = torch.where(unknown, draw(logits, noises[0]), ids)
        known = sampled.clamp(0, logits.shape[-1] - 1)[..., None]
        chances = F.log_softmax(logits, -1).gather(-1, known)[..., 0]
        confidence = chances.masked_fill(~unknown, math.inf) + temperature * noises[1]
        first_kept = confidence.sort(-1).values.gather(-1, num_masked[:, None])
        return sampled, torch.where(confidence < first_kept, MASK_TOKEN_ID, sampled)

    def decode(self, prompts, num_tokens, num_iterations, choice_temperature, noise):
        """Draws tokens (B, N) after prompts (B, S, D) by the cosine schedule.

        Args:
          prompts: in the place of the class token.
          num_tokens: N.
          num_iterations: T.
          choice_temperature: of the noise at the start; falls linearly to 0.
          noise: t -> the noises of an iteration, see `forward`.
        """
        ids = torch.full((len(prompts), num_tokens + 1), MASK_TOKEN_ID)
        for t in range(num_iterations):
            progress = (t + 1) / num_iterations
            rate = max(math.cos(math.pi / 2 * progress), 1e-6)
            still = (ids == MASK_TOKEN_ID).sum(-1)
            wanted = torch.full_like(still, math.floor((num_tokens + 1) * rate))
            masked = torch.minimum(still - 1, wanted).clamp(min=1)
            temperature = torch.tensor(choice_temperature * (1 - progress))
            sampled, ids = self(ids, prompts, masked, temperature, noise(t))
        return sampled[:, 1:]
