"""Packing the sets to adapt to: which pictures, and in which folders."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.packing.made_archives import bar, write_deb, write_npm
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.packing import targets
from vpt_gen.packing.archives import reading


def test_stamps_become_squares_on_white_and_cartoons_stay_out(tmp_path):
    names = (
        *("animals/birds/hen", "animals/birds/cartoon/duck", "animals/mammals/cats/lion"),
        *("town/houses/cartoon/igloo", "hobbies/chess"),
    )
    files = {f"usr/share/tuxpaint/stamps/{name}.png": bar((10, 10, 80, 40)) for name in names}
    files["usr/share/tuxpaint/stamps/animals/birds/hen.txt"] = b"A hen."
    package = write_deb(tmp_path / "stamps.deb", files)
    found = {(c, name): image for c, name, image in targets.read_stamps(package)}
    assert set(found) == {("birds", "hen"), ("mammals", "cats_lion"), ("houses", "cartoon_igloo")}
    image = np.asarray(found["birds", "hen"])
    assert image.shape == (128, 128, 3) and (image[0] == 255).all() and image.min() == 0


def test_a_list_of_values_is_a_garment_and_empty_ones_are_none(tmp_path):
    content = json.dumps({"data": [[], list(range(0, 256)) + [7] * 528]}).encode()
    path = write_npm(tmp_path / "fashion.tgz", {"src/clothes/8.json": content})
    ((name, _, image),) = targets.read_fashion(path)
    assert name == "bag" and np.asarray(image)[0, 27] == 27 and np.asarray(image)[27, 27] == 7


def test_a_broken_picture_is_a_damaged_archive(tmp_path):
    stamp = {"usr/share/tuxpaint/stamps/animals/birds/hen.png": bar((10, 10, 80, 40))[:90]}
    path = write_deb(tmp_path / "archive", stamp)
    with pytest.raises(UserError, match="archive is damaged .*; delete it"), reading(path):
        list(targets.read_stamps(path))


@pytest.mark.parametrize("limit", [1, 5])
def test_written_sets_open_as_class_folders(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(targets, "PER_CLASS", limit)
    image = Image.new("RGB", (8, 8), "red")
    pictures = [("hat", f"{i}", image) for i in range(3)] + [("bag", "0", image)]
    counts = targets.write(iter(pictures), tmp_path)
    assert counts == {"hat": min(limit, 3), "bag": 1}
    source = open_folder(str(tmp_path))
    assert source.class_names == ("bag", "hat") and len(source) == sum(counts.values())
