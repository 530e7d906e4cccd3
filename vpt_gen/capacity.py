"""`python -m vpt_gen.capacity`: calculates what fits on a TPU slice, and how fast it can be.

Prints the tables of docs/scaling.md, and that of docs/vtab.md.
"""

from vpt_gen import cli
from vpt_gen.machine import later

with later.imports(globals()):
    import jax

    from vpt_gen.tables.capacity import TABLES
    from vpt_gen.tables.sweep import sweep_table


def main():
    """Prints all tables."""
    jax.config.update("jax_platforms", "cpu")  # only shapes are computed, on any machine
    print(*(table() for table in (*TABLES, sweep_table)), sep="\n\n")


if __name__ == "__main__":
    cli.run(main)
