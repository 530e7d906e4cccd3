"""What every method of adaptation says about itself: its config group, checks, rates and sentence.

A method is a frozen dataclass in a file of its own: its fields are its group of a run's config, in
their order and with their defaults. Whoever needs to know something of a method asks its class or
its record; `methods.METHODS` lists them.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import optax

from vpt_gen.errors import Requirement
from vpt_gen.methods.method import Method
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params, Task


@dataclasses.dataclass(frozen=True)
class Record:
    """A method's options; subclasses are frozen dataclasses.

    Attributes:
      name: of the method: `config.task` of its runs.
      source: of what is adapted: "transformer" or "gan", its name in `config.backbone`.
      group: name of its config group; there is none if it has no fields.
      learning_rate: for sources of the published sizes, from the method's paper if it names one.
      demo_learning_rate: for the demo's source, by held-out loss (docs/methods.md).
    """

    name: ClassVar[str]
    source: ClassVar[str]
    group: ClassVar[str]
    learning_rate: ClassVar[float]
    demo_learning_rate: ClassVar[float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The options that a run's config has for the method."""
        names = [field.name for field in dataclasses.fields(cls)]
        group = config[cls.group] if names else {}
        values = {name: group[name] for name in names}
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})

    def requirements(self) -> Iterable[Requirement]:
        """What the fields must be."""
        return ()

    def sentence(self, what: str) -> str:
        """What a run trained, for its page, as the beginning of a sentence.

        Args:
          what: is adapted, such as "NAR (MaskGIT)".
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Target:
    """What a method adapts a transformer to.

    Attributes:
      net: the transformer.
      num_tokens: N, visual tokens of an image.
      num_classes: C, classes of the new images.
      num_instances: I, training images that conditions can name; 0 if they name none.
      dtype: of the matrices in products; trained ones are kept and updated in float32.
    """

    net: TokenTransformer
    num_tokens: int
    num_classes: int
    num_instances: int = 0
    dtype: str = "float32"


class TransformerMethod(Record):
    """A method that adapts a transformer."""

    source = "transformer"

    @property
    def condition(self) -> str:
        """What images are told apart by: "class", "instance" or "class+instance"."""
        return "class"

    def adapt(self, target: Target) -> Method:
        """The method for a transformer and new images."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a GAN method draws images.

    Attributes:
      net: the generator.
      inputs: (params, z, class_ids) -> what it makes images (B, R, R, 3) of.
      group_of: path of a parameter -> its group, or None if it never trains.
    """

    net: Any
    inputs: Callable[[Params, jax.Array, jax.Array], dict[str, jax.Array]]
    group_of: Callable[[tuple[str, ...]], str | None]


class GanMethod(Record):
    """A method that adapts a BigGAN.

    Attributes:
      adversarial_loss: the default of `config.adversarial.loss`, as released.
      groups: parts of the generator's side that train by optimizers of their own.
    """

    source = "gan"
    learning_rate = 1e-4  # BigGAN's generator at 128 px
    demo_learning_rate = 3e-4
    adversarial_loss: ClassVar[str]
    groups: ClassVar[tuple[str, ...]]

    def class_names(self, of_data: Sequence[str]) -> list[str]:
        """The classes that a run can be asked for."""
        return list(of_data)

    def make_task(
        self,
        source: BigGAN,
        source_params: Params,
        num_classes: int,
        optimizers: Mapping[str, optax.GradientTransformation],
        **options: Any,
    ) -> Task:
        """The task; options: `loss`, `steps`, `accumulations`, `orthogonal` of `Adversaries`."""
        raise NotImplementedError

    def drawing(self, source: BigGAN, num_classes: int) -> Drawing:
        """How images of the adapted GAN are drawn.

        Raises:
          ValueError: a source that the method cannot use.
        """
        raise NotImplementedError
