"""A request: one program to measure."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Request:
    """One program, to be built in its own process.

    Attributes:
      what: a key of `programs.PROGRAMS` or of `rates.RATES`.
      way: a key of `PROGRAMS[what]`: 'ours', or the program to compare with.
      size: a key of `sizes.SIZES`.
      batch: images at a time.
      num_prompt_tokens: S; 0 for the size's own.
      dtype: as in `config.compute`, only for ours, as are the next two.
      remat: what is recomputed.
      scan_layers: whether layers are one loop.
      num_iterations: T, of parallel decoding.
      decoder: of `decode.decoders.DECODERS`, only for ours.
      guidance: scale of decoding, only for ours; 0 for none.
      num_tokens: tokens to decode one by one; 0 for a whole image.
      edited: share of the tokens that an edit draws; 0 for all of them, with none known.
      keep_memory: whether freed memory stays with the process (`machine/host_memory.py`).
    """

    what: str
    way: str
    size: str
    batch: int = 1
    num_prompt_tokens: int = 0
    dtype: str = "float32"
    remat: str = "none"
    scan_layers: str = "auto"
    num_iterations: int = 12
    decoder: str = "confidence"
    guidance: float = 0.0
    num_tokens: int = 0
    edited: float = 0.0
    keep_memory: bool = True
