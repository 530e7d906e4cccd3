"""Taming's GPT in PyTorch, of the structure and the names of `nets/gpt.py`, with a fixed cache."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.against_torch.layers import Attention, LayerNorm, Linear, draw


class Block(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.attention_ln = LayerNorm(net.hidden_size, eps=1e-5)
        self.attention = Attention(net.hidden_size, net.num_heads, "projection")
        self.mlp_ln = LayerNorm(net.hidden_size, eps=1e-5)
        self.mlp_in = Linear(net.hidden_size, net.intermediate_size)
        self.mlp_out = Linear(net.intermediate_size, net.hidden_size)

    def forward(self, x, *cached):
        x = x + self.attention(self.attention_ln(x), *cached)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_ln(x))))


class GPT(nn.Module):
    """`net` is ours, whose fields it takes."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.token_embeddings = nn.Embedding(net.codebook_size, net.hidden_size)
        self.position_embeddings = nn.Embedding(net.num_positions, net.hidden_size)
        for i in range(net.num_layers):
            self.add_module(f"block_{i}", Block(net))
        self.final_ln = LayerNorm(net.hidden_size, eps=1e-5)
        self.head = Linear(net.hidden_size, net.codebook_size, bias=False)

    def embed(self, tokens, positions):
        """Tokens (B, T) at positions (T,) -> float32 (B, T, D)."""
        return self.token_embeddings(tokens).float() + self.position_embeddings(positions).float()

    def forward(self, x, cache, positions):
        """Embedded inputs (B, T, D) at `positions` (T,) of a cache -> logits (B, K) of the last.

        `cache` has keys and values (B, H, L, E) of each layer.
        """
        length = cache[0][0].shape[2]
        visible = torch.arange(length)[None, :] <= positions[:, None]
        for i, of_layer in enumerate(cache):
            x = getattr(self, f"block_{i}")(x, of_layer, positions, visible)
        return self.head(self.final_ln(x[:, -1])).float()

    def empty_cache(self, batch, length):
        net, dtype = self.net, self.token_embeddings.weight.dtype
        shape = (batch, net.num_heads, length, net.hidden_size // net.num_heads)
        return [
            tuple(torch.zeros(shape, dtype=dtype) for _ in range(2)) for _ in range(net.num_layers)
        ]

    def sample(self, prompts, num_tokens, noise):
        """Draws tokens (B, N) after prompts (B, S, D).

        Args:
          prompts: in the place of the class token.
          num_tokens: N.
          noise: n -> Gumbel noise (B, K) of token n.
        """
        count = prompts.shape[1]
        cache = self.empty_cache(len(prompts), count + num_tokens - 1)
        logits, tokens = self(prompts, cache, torch.arange(count)), []
        for n in range(num_tokens):
            tokens.append(draw(logits, noise(n)))
            if n < num_tokens - 1:
                x = self.embed(tokens[-1][:, None], torch.tensor([n + 1]))
                logits = self(x, cache, torch.tensor([count + n]))
        return torch.stack(tokens, dim=1)

    def logits(self, tokens, prompts):
        """Logits (B, N, K) of tokens (B, N) after prompts (B, S, D), in one pass."""
        x = torch.cat([prompts, self.embed(tokens[:, :-1], torch.arange(1, tokens.shape[1]))], 1)
        visible = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        for i in range(self.net.num_layers):
            x = getattr(self, f"block_{i}")(x, None, None, visible)
        return self.head(self.final_ln(x[:, -tokens.shape[1] :])).float()
