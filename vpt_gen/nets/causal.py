"""What causal transformers have in common: layers with a cache, and what calls them."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.attention import LayerCache
from vpt_gen.nets.layers import wide_product
from vpt_gen.nets.layout import named
from vpt_gen.nets.stack import STACKED, scan_layers
from vpt_gen.nets.transformer import NO_CLASS, CausalTransformer

# Of one layer each, or of stacked layers.
Cache = list[LayerCache] | LayerCache


class Head(nn.Module):
    """Normalized hidden states (..., D) -> float32 logits (..., K)."""

    codebook_size: int
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.codebook_size))
        logits = wide_product(x, kernel)
        if self.use_bias:
            logits = logits + self.param("bias", nn.initializers.zeros, (self.codebook_size,))
        return named(logits, "batch", None, "codes")


class CausalNet(CausalTransformer, nn.Module):
    """Base of causal transformers.

    A subclass has the fields of a transformer, and in its `setup` the modules `dropout`, `blocks`,
    `token_embeddings` and `head`. Inputs are what its `prefix` and `embed` return:
    embedded positions (B, T, D), or a pytree that `layer_inputs` turns into them.
    """

    @nn.nowrap
    def _block(self, **where: Any) -> Any:
        """Makes a layer: (x, cache, start, number, deterministic, *further) -> (x, cache)."""
        raise NotImplementedError

    def normalized(self, hidden: jax.Array) -> jax.Array:
        """Hidden states (..., D) -> what the head is given."""
        raise NotImplementedError

    @nn.nowrap
    def layer_inputs(self, x: Any) -> tuple[jax.Array, tuple[Any, ...]]:
        """Returns inputs as (B, T, D), and what each layer is given besides."""
        return x, ()

    @nn.nowrap
    def of_layers(self, x: Any) -> tuple[jax.Array, ...]:
        """Returns arrays (L, ...), of which each layer is given its own, after all else."""
        del x
        return ()

    @nn.nowrap
    def joined(self, prefix: Any, x: Any) -> Any:
        """Returns the inputs of a whole sequence: those of its prefix, and of its tokens."""
        return jnp.concatenate([prefix, x], axis=1)

    def unconditional_prefix(self) -> tuple[Any, int]:
        """What stands before the tokens if nothing is asked for, and the position of z_0."""
        return self.prefix(class_ids=jnp.array([NO_CLASS]))

    @nn.nowrap
    def first_input(self, prefix: Any) -> Any:
        """Returns the last position of a prefix, (B, 1, D): with the others cached, z_0's input."""
        return prefix[:, -1:]

    def of_places(self, prefix: Any, positions: jax.Array) -> Any:
        """Returns what the condition adds to tokens at positions (T,), which `conditioned` takes.

        Arrays (T, B or 1, ...): decoding computes them before it draws these tokens. Position -1 is
        the last of the prefix.
        """
        del prefix, positions
        return ()

    @nn.nowrap
    def conditioned(self, x: Any, of_place: Any) -> Any:
        """Returns the input of a token with what its condition adds at its place."""
        del of_place
        return x

    @property
    def cache_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_heads

    def hidden_states(
        self,
        x: Any,
        cache: Cache | None = None,
        start: jax.Array | int = 0,
        deterministic: bool = True,
    ) -> tuple[jax.Array, Cache]:
        """The layers on embedded inputs (B, T, D).

        Args:
          x: embedded inputs.
          cache: a list, or stacked as the parameters are; what is in it from `start` on is
            overwritten.
          start: index of `x` in the cache.
          deterministic: no dropout.

        Returns:
          (B, T, D), and the cache: of `x` alone where none was given.
        """
        own_inputs = self.of_layers(x)
        x, further = self.layer_inputs(x)
        x = named(self.dropout(x, deterministic), "batch")
        stacked: Any = self.get_variable("params", STACKED)
        if stacked is not None:
            return self._scan_blocks(stacked, x, cache, start, deterministic, further, own_inputs)
        caches = []
        for number, block in enumerate(self.blocks):
            own = cast(LayerCache, cache[number]) if cache else None  # A list, as the layers are.
            of_layer = (each[number] for each in own_inputs)
            x, of_block = block(x, own, start, None, deterministic, *further, *of_layer)
            caches.append(of_block)
        return x, caches

    def _scan_blocks(self, stacked, x, cache, start, deterministic, further, own_inputs):
        block, keys = self._block(parent=None), None
        if self.dropout.rate > 0 and not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), self.num_layers)

        def run(params, carry, number, key, of_layer):
            x, cache = carry
            rngs = None if key is None else {"dropout": key}
            inputs = x, cache, start, number, deterministic, *further, *of_layer
            x, of_block = block.apply({"params": params}, *inputs, rngs=rngs)
            return ((x, None), of_block) if cache is None else ((x, of_block), None)

        numbers = jnp.arange(self.num_layers)
        (x, cache), fresh = scan_layers(run, stacked, (x, cache), numbers, keys, own_inputs)
        return x, fresh if cache is None else cache

    def empty_cache(self, batch: int, length: int) -> Cache:
        """A cache of `length` positions for `hidden_states`, without anything in it."""
        shape: tuple[int, ...] = (
            batch,
            self.cache_heads,
            length,
            self.hidden_size // self.num_heads,
        )
        dtype = self.token_embeddings.embedding.dtype
        if self.has_variable("params", STACKED):
            shape = (self.num_layers, *shape)
            return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
        return [
            LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
            for _ in range(self.num_layers)
        ]

    def run(
        self,
        x: Any,
        cache: Cache | None = None,
        start: jax.Array | int = 0,
        deterministic: bool = True,
    ) -> tuple[jax.Array, Cache]:
        """`hidden_states`, and of them the logits (B, T, K)."""
        hidden, cache = self.hidden_states(x, cache, start, deterministic)
        return self.head(self.normalized(hidden)), cache

    def __call__(
        self,
        tokens: jax.Array,
        prompts: jax.Array | None = None,
        class_ids: jax.Array | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Logits (B, N, K): row n predicts token n from the prefix and the tokens before it.

        Args:
          tokens: (B, N) visual tokens, in the order of the sequence.
          prompts: (B, S, D), or None.
          class_ids: (B,), or None.
          deterministic: no dropout.

        Raises:
          ValueError: neither prompts nor classes, or more tokens than positions.
        """
        return self.of_sequence(tokens, *self.prefix(prompts, class_ids), deterministic)

    def of_sequence(
        self, tokens: jax.Array, prefix: Any, first: int, deterministic: bool, *places: Any
    ) -> jax.Array:
        """Returns logits (B, N, K) of tokens (B, N) after a prefix; see `__call__`.

        Args:
          tokens: in the order of the sequence.
          prefix: see `prefix`, as for the next.
          first: position of the first token.
          deterministic: no dropout.
          *places: further arguments of `embed`.
        """
        self.check_length(first, tokens.shape[1])
        x = self.joined(prefix, self.embed(tokens[:, :-1], first, *places))
        hidden, _ = self.hidden_states(x, deterministic=deterministic)
        # The last position of the prefix predicts the first token.
        return self.head(self.normalized(hidden)[:, -tokens.shape[1] :])
