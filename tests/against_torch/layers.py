"""What the two transformers have in common: products in the type of their matrices, as ours."""

import torch
import torch.nn.functional as F
from torch import nn


class Linear(nn.Linear):
    """Computes in the type of its matrix; biases stay float32."""

    def forward(self, x):
        bias = None if self.bias is None else self.bias.to(self.weight.dtype)
        return F.linear(x.to(self.weight.dtype), self.weight, bias)


class LayerNorm(nn.LayerNorm):
    """Computes in float32."""

    def forward(self, x):
        return super().forward(x.float())


class Attention(nn.Module):
    """x (B, L, D) -> (B, L, D); with a cache, from x to all positions that `visible` allows."""

    def __init__(self, width, num_heads, output):
        super().__init__()
        self.num_heads, self.output = num_heads, output
        for name in ("query", "key", "value", output):
            self.add_module(name, Linear(width, width))

    def forward(self, x, cache=None, positions=None, visible=None):
        """Writes keys and values at `positions` (T,) of a cache, a pair of (B, H, L, E)."""
        b, length, width = x.shape
        query, key, value = (
            layer(x).view(b, length, self.num_heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if cache is not None:
            key, value = (
                old.index_copy_(2, positions, new)
                for old, new in zip(cache, (key, value), strict=True)
            )
        attended = F.scaled_dot_product_attention(query, key, value, visible)
        attended = attended.transpose(1, 2).reshape(b, length, width)
        return getattr(self, self.output)(attended)


def draw(logits, noise):
    """Draws ids from logits (..., K) with Gumbel noise of the same shape."""
    return torch.argmax(logits + noise, dim=-1)


def gumbel(shape):
    """Gumbel noise."""
    return torch.empty(shape).exponential_().log_().neg_()
