"""MaskGIT's VQGAN in PyTorch, of the structure and the names of `nets/vqgan.py`.

Channels come last in memory, the layout in which oneDNN is fastest here.
"""

import torch
import torch.nn.functional as F
from torch import nn

from vpt_gen.nets.group_norm import NUM_GROUPS


def _conv(inputs, outputs, width=3, bias=True):
    return nn.Conv2d(inputs, outputs, width, padding=width // 2, bias=bias)


def _norm(channels):
    return nn.GroupNorm(NUM_GROUPS, channels, eps=1e-6)


class ResBlock(nn.Module):
    def __init__(self, inputs, filters):
        super().__init__()
        self.GroupNorm_0 = _norm(inputs)
        self.Conv_0 = _conv(inputs, filters, bias=False)
        self.GroupNorm_1 = _norm(filters)
        self.Conv_1 = _conv(filters, filters, bias=False)
        if inputs != filters:
            self.Conv_2 = _conv(filters, filters, 1, bias=False)

    def forward(self, x):
        residual = x
        x = self.Conv_0(F.silu(self.GroupNorm_0(x)))
        x = self.Conv_1(F.silu(self.GroupNorm_1(x)))
        # As released: the shortcut is of the output.
        return x + (self.Conv_2(x) if hasattr(self, "Conv_2") else residual)


class Encoder(nn.Module):
    """Images (B, 3, H, W) -> latents (B, d, h, w)."""

    def __init__(self, net):
        super().__init__()
        self.net, width = net, net.filters
        self.Conv_0 = _conv(3, width, bias=False)
        filters = [net.filters * multiplier for multiplier in net.channel_multipliers]
        filters.append(filters[-1])  # Those of the blocks behind the last level.
        self.steps, number = [], 0
        for level, outputs in enumerate(filters):
            for _ in range(net.num_res_blocks):
                self.add_module(f"ResBlock_{number}", ResBlock(width, outputs))
                self.steps.append(f"ResBlock_{number}")
                width, number = outputs, number + 1
            if level < len(filters) - 2:
                self.steps.append("pool")
        self.GroupNorm_0 = _norm(width)
        self.Conv_1 = _conv(width, net.embedding_dim, 1)

    def forward(self, x):
        x = self.Conv_0(x)
        for step in self.steps:
            x = F.avg_pool2d(x, 2) if step == "pool" else getattr(self, step)(x)
        return self.Conv_1(F.silu(self.GroupNorm_0(x)))


class Decoder(nn.Module):
    """Codes (B, d, h, w) -> images (B, 3, H, W)."""

    def __init__(self, net):
        super().__init__()
        width = net.filters * net.channel_multipliers[-1]
        self.Conv_0 = _conv(net.embedding_dim, width)
        blocks, convs = [width] * net.num_res_blocks, 0
        self.steps, number = [], 0
        levels = [None, *reversed(net.channel_multipliers)]
        for level, multiplier in enumerate(levels):
            outputs = width if multiplier is None else net.filters * multiplier
            for _ in blocks:
                self.add_module(f"ResBlock_{number}", ResBlock(width, outputs))
                self.steps.append(f"ResBlock_{number}")
                width, number = outputs, number + 1
            if 0 < level < len(levels) - 1:
                convs += 1
                self.add_module(f"Conv_{convs}", _conv(width, outputs))
                self.steps.append(f"Conv_{convs}")
        self.GroupNorm_0 = _norm(width)
        self.last = f"Conv_{convs + 1}"
        self.add_module(self.last, _conv(width, 3))

    def forward(self, x):
        x = self.Conv_0(x)
        for step in self.steps:
            if step.startswith("Conv"):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = getattr(self, step)(x)
        return getattr(self, self.last)(F.silu(self.GroupNorm_0(x)))


class Quantizer(nn.Module):
    """Latents (B, d, h, w) -> token ids (B, h, w), the nearest code's."""

    def __init__(self, net):
        super().__init__()
        self.codebook = nn.Parameter(torch.empty(net.codebook_size, net.embedding_dim))

    def forward(self, latents):
        latents = latents.permute(0, 2, 3, 1)
        distances = (self.codebook**2).sum(-1) - 2 * latents @ self.codebook.T
        return distances.argmin(-1)


class VQGAN(nn.Module):
    """`net` is ours, whose fields it takes."""

    def __init__(self, net):
        super().__init__()
        self.encoder, self.decoder = Encoder(net), Decoder(net)
        self.quantizer = Quantizer(net)

    def tokenize(self, images):
        """Images (B, H, W, 3) in [0, 1] -> token ids (B, h, w)."""
        return self.quantizer(self.encoder(images.permute(0, 3, 1, 2)))

    def detokenize(self, tokens):
        """Token ids (B, h, w) -> images (B, H, W, 3), not clipped."""
        codes = F.embedding(tokens, self.quantizer.codebook).permute(0, 3, 1, 2)
        return self.decoder(codes).permute(0, 2, 3, 1)

    def forward(self, given):
        """Images (B, H, W, 3) -> tokens (B, h, w), or tokens -> images, clipped to [0, 1]."""
        return self.tokenize(given) if given.ndim == 4 else self.detokenize(given).clamp(0, 1)
