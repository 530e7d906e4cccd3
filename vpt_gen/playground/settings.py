"""What the controls of the page ask for, and how much they may."""

import dataclasses
from typing import Annotated, Any

from vpt_gen.errors import UserError
from vpt_gen.ranges import Range, Seed, check_number, range_of, ranges_of

# Images of a class, and of all together: a page that waits for minutes helps nobody.
Images = Annotated[int, Range(1, 64, whole=True)]
Iterations = Annotated[int, Range(1, 64, whole=True)]
Guidance = Annotated[float, Range(0, 10)]
Temperature = Annotated[float, Range(0, 4)]
Stages = Annotated[float, Range(0.5, 64)]
Kept = Annotated[float, Range(0, 0.95)]
# An image that is repainted; one of 1024 x 1024, or as many in another shape.
MOST_PIXELS = 2**20
# Options of decoders with a control: its label, range and step.
OPTIONS: dict[str, tuple[str, Any, float]] = {
    "num_iterations": ("Iterations", Iterations, 1),
    "temperature": ("Temperature", Temperature, 0.05),
    "guidance": ("Guidance", Guidance, 0.1),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of the images to draw.

    Attributes:
      subjects: numbers of classes, or of training images if the prompts have these only.
      num: images of each.
      seed: of all.
      options: of decoding, `decoder` and those of `OPTIONS` that it has.
      start: number of the class whose prompt comes first, or None for no marquee.
      stages: until the image's own class has full weight, if there is a marquee.
    """

    subjects: tuple[int, ...]
    num: Images
    seed: Seed
    options: tuple[tuple[str, Any], ...]
    start: int | None = None
    stages: Stages = 6.0

    def check(self) -> None:
        """Raises UserError for what is more than a page may ask for, whoever asks."""
        for name, of in ranges_of(Settings).items():
            check_number(f"The page's {name}", getattr(self, name), of)
        options = dict(self.options)
        for name, (label, kind, _) in OPTIONS.items():
            if name in options:
                check_number(label, options[name], range_of(kind))
        if not self.subjects:
            raise UserError("Choose one or more classes.")
        if len(self.subjects) * self.num > range_of(Images).high:
            raise UserError(
                f"{len(self.subjects)} classes with {self.num} images each are more than "
                f"{range_of(Images).high}: choose fewer."
            )
