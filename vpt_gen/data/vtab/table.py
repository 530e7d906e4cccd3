"""The table of docs/vtab.md: `python -m vpt_gen.data.vtab.table`."""

from vpt_gen.data.vtab.tasks import TASKS, Task

_HEAD = (
    "task",
    "config",
    "TFDS data set",
    "C",
    "train",
    "val",
    "test",
    "VTAB-1k",
    "pixels",
    "mirrored",
)
_MIRRORED = {"safe": "same label", "odd": "odd pictures", "label": "**other label**"}


def table() -> str:
    """Formats one line per task, as Markdown."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(task) for task in TASKS.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(task: Task) -> tuple[str, ...]:
    def split(name: str) -> str:
        return f"`{task.splits[name]}` ({task.count(name):,})"

    return (
        task.id,
        f"`vtab_{task.short}.py`",
        f"`{task.builder}:{task.version}`",
        str(task.num_classes),
        split("train"),
        split("val"),
        split("test"),
        f"`{task.splits['train800val200']}`",
        task.native_size,
        _MIRRORED[task.flip],
    )


if __name__ == "__main__":
    print(table())
