"""What every method of adaptation provides: its config group, checks, rates and sentence.

A method is a frozen dataclass in its own file. Its fields are its group of a run's config, in their
order and with their defaults. Other code uses the class or its record instead of the method's name;
`methods.METHODS` lists them.
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
      source: kind of the adapted net: "transformer" or "gan", its name in `config.backbone`.
      group: name of its config group; there is none if it has no fields.
      learning_rate: for sources of the published sizes, from the method's paper if it gives one.
      demo_learning_rate: for the demo's source, chosen by held-out loss (docs/methods.md).
      first_stage: name of the field that counts the updates of the first of two stages; '' if all
        trains from the beginning.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    group: ClassVar[str]
    learning_rate: ClassVar[float]
    demo_learning_rate: ClassVar[float]
    first_stage: ClassVar[str] = ""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Makes the method's options from a run's config."""
        names = [field.name for field in dataclasses.fields(cls)]
        group = config[cls.group] if names else {}
        values = {name: group[name] for name in names}
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})

    def requirements(self) -> Iterable[Requirement]:
        """Yields the requirements of the fields."""
        return ()

    def sentence(self, what: str) -> str:
        """Returns what a run trained, for its page, as the beginning of a sentence.

        Args:
          what: the adapted net, such as "NAR (MaskGIT)".
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Target:
    """The transformer and the data that a method adapts it to.

    Attributes:
      net: the transformer.
      num_tokens: N, visual tokens of an image.
      num_classes: C, classes of the new images.
      num_instances: I, training images that conditions can name; 0 for none.
      dtype: of the matrices in products; trained ones are stored and updated in float32.
    """

    net: TokenTransformer
    num_tokens: int
    num_classes: int
    num_instances: int = 0
    dtype: str = "float32"


class TransformerMethod(Record):
    """A method that adapts a transformer.

    Attributes:
      whole: whether the method trains the whole transformer and keeps nothing of the source.
      changes_source: whether it changes what the net draws of the source's own classes, without
        giving them up from the beginning.
    """

    source = "transformer"
    whole: ClassVar[bool] = False
    changes_source: ClassVar[bool] = False

    @property
    def condition(self) -> str:
        """Kind of the conditions: "class", "instance" or "class+instance"."""
        return "class"

    def prepared(self, net: TokenTransformer) -> TokenTransformer:
        """Returns the transformer with the options that the method has for it.

        Raises:
          UserError: an option that the transformer does not have.
        """
        return net

    def adapt(self, target: Target) -> Method:
        """Makes the method for a transformer and new images."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a GAN method draws images.

    Attributes:
      net: the generator.
      inputs: (params, z, class_ids) -> the generator's inputs for images (B, R, R, 3).
      group_of: path of a parameter -> its group, or None if it never trains.
    """

    net: Any
    inputs: Callable[[Params, jax.Array, jax.Array], dict[str, jax.Array]]
    group_of: Callable[[tuple[str, ...]], str | None]


class GanMethod(Record):
    """A method that adapts a BigGAN.

    Attributes:
      adversarial_loss: the default of `config.adversarial.loss`, as released.
      groups: parts of the generator's side, each with its own optimizer.
    """

    source = "gan"
    learning_rate = 1e-4  # BigGAN's generator at 128 px
    demo_learning_rate = 3e-4
    adversarial_loss: ClassVar[str]
    groups: ClassVar[tuple[str, ...]]

    def class_names(self, of_data: Sequence[str]) -> list[str]:
        """Returns the classes that images can be drawn of."""
        return list(of_data)

    def make_task(
        self,
        source: BigGAN,
        source_params: Params,
        num_classes: int,
        optimizers: Mapping[str, optax.GradientTransformation],
        **options: Any,
    ) -> Task:
        """Makes the task; `options` are further fields of `Adversaries`, such as `loss`."""
        raise NotImplementedError

    def drawing(self, source: BigGAN, num_classes: int) -> Drawing:
        """Returns how images of the adapted GAN are drawn.

        Raises:
          ValueError: a source that the method cannot use.
        """
        raise NotImplementedError
