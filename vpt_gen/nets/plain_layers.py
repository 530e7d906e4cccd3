"""A transformer layer with the norm before its branches, or after them, and exact GELU.

Source: bytedance/1d-tokenizer `modeling/modules/blocks.py` (before: TiTok's encoder and decoder,
and the UViT), and BERT (after; arXiv 1810.04805), which its `modeling/maskgit.py` uses.
"""

import flax.linen as nn
import jax

from vpt_gen.nets.additions import Adapter
from vpt_gen.nets.attention import SelfAttention
from vpt_gen.nets.layers import Dense
from vpt_gen.nets.layout import named

kernel_init = nn.initializers.truncated_normal(0.02)


class PlainLayer(nn.Module):
    """(B, L, D) -> (B, L, D): attention and an MLP, each added to what enters it.

    Attributes:
      num_heads: divides D.
      intermediate_size: of the MLP.
      norm_after: norms follow the sums, as in BERT; otherwise they precede the branches.
      epsilon: of the norms.
      input_biases: whether queries, keys and values have biases.
      dropout_rate: for attention and branches, in training.
    """

    num_heads: int
    intermediate_size: int
    norm_after: bool = False
    epsilon: float = 1e-5
    input_biases: bool = True
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        dropout = nn.Dropout(self.dropout_rate)
        attention = SelfAttention(
            self.num_heads, self.dropout_rate, kernel_init, self.input_biases, name="attention"
        )
        mlp_in = Dense(self.intermediate_size, kernel_init, name="mlp_in")
        mlp_out = Dense(x.shape[-1], kernel_init, name="mlp_out")

        def attend(x):
            attended = dropout(attention(x, deterministic)[0], deterministic)
            return Adapter(name="attention_adapter")(attended)

        def mlp(x):
            hidden = nn.gelu(named(mlp_in(x), "batch", None, "hidden"), approximate=False)
            return Adapter(name="mlp_adapter")(dropout(mlp_out(hidden), deterministic))

        for branch, name in ((attend, "attention_norm"), (mlp, "mlp_norm")):
            norm = nn.LayerNorm(epsilon=self.epsilon, name=name)
            x = norm(x + branch(x)) if self.norm_after else x + branch(norm(x))
            x = named(x, "batch")
        return x
