"""VTAB's splits as TFDS split expressions.

Positions refer to TFDS's order of the records, which is shuffled, not the order of the original
files.
"""


def splits(
    train: str, val: str, test: str, *, trainval: str, everything: str, val200: str
) -> dict[str, str]:
    """VTAB's splits; VTAB-1k takes the first 800 of train and the first 200 of val."""
    return {
        "train": train,
        "val": val,
        "trainval": trainval,
        "test": test,
        "train800": "train[:800]",
        "val200": val200,
        "train800val200": f"train[:800]+{val200}",
        "all": everything,
    }


def own_splits() -> dict[str, str]:
    """The builder has train, validation and test."""
    return splits(
        "train",
        "validation",
        "test",
        trainval="train+validation",
        everything="train+validation+test",
        val200="validation[:200]",
    )


def cut_from_train(percent: int, size: int, test: str = "test") -> dict[str, str]:
    """Validation is the last part of the builder's train, from `percent` on, of `size`."""
    start = size * percent // 100
    return splits(
        f"train[:{percent}%]",
        f"train[{percent}%:]",
        test,
        trainval="train",
        everything=f"train+{test}",
        val200=f"train[{start}:{start + 200}]",
    )


def all_from_train(first: int, second: int, size: int) -> dict[str, str]:
    """The builder has one split of `size`, cut at two percentages."""
    start = size * first // 100
    return splits(
        f"train[:{first}%]",
        f"train[{first}%:{second}%]",
        f"train[{second}%:]",
        trainval=f"train[:{second}%]",
        everything="train",
        val200=f"train[{start}:{start + 200}]",
    )


SPLITS: tuple[str, ...] = tuple(own_splits())
