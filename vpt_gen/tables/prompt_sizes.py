"""`python -m vpt_gen.tables.prompt_sizes`: how many parameters each prompt generator trains.

Counted on the real modules, for the table in docs/prompts.md.
"""

from typing import Any

from vpt_gen import cli
from vpt_gen.machine import later

with later.imports(globals()):
    from vpt_gen.nets.prompt_generator import PromptGenerator, num_parameters

WIDTH = 768  # of MaskGIT's transformer, without a projection
NUM_CLASSES = 102  # Caltech101 with its background
NUM_INSTANCES = 1000  # VTAB's training images
NUM_PROMPT_TOKENS = (16, 128)

# Label, and the fields of the generator.
DESIGNS: dict[str, dict[str, Any]] = {
    "class, additive (as released)": {"num_classes": NUM_CLASSES},
    "class, factorized, F = 4": {
        "num_classes": NUM_CLASSES,
        "design": "factorized",
        "num_factors": 4,
    },
    "class, full": {"num_classes": NUM_CLASSES, "design": "full"},
    "instance, additive": {"num_classes": 0, "num_instances": NUM_INSTANCES},
    "class + instance, additive": {"num_classes": NUM_CLASSES, "num_instances": NUM_INSTANCES},
    "class + instance, full": {
        "num_classes": NUM_CLASSES,
        "num_instances": NUM_INSTANCES,
        "design": "full",
    },
}


def table() -> str:
    """Formats trained parameters by design and prompt tokens, and their share of `full`."""
    heads = "".join(f" S = {s} | of full |" for s in NUM_PROMPT_TOKENS)
    rows = [f"| design |{heads}", "|---|" + "---:|---:|" * len(NUM_PROMPT_TOKENS)]
    for label, fields in DESIGNS.items():
        cells = []
        for num_prompt_tokens in NUM_PROMPT_TOKENS:
            count, full = (
                num_parameters(PromptGenerator(**design, num_prompt_tokens=num_prompt_tokens))
                for design in (fields, {**fields, "design": "full", "num_factors": 1})
            )
            cells.append(f" {count:,} | {count / full:.2%} |")
        rows.append(f"| {label} |{''.join(cells)}")
    return "\n".join(rows)


if __name__ == "__main__":
    cli.run(lambda: print(table()))
