"""The notes of samples, damaged in every simple way."""

import pytest
from etils import epath

from tests import damage
from vpt_gen.data import sampled
from vpt_gen.errors import UserError


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_note_is_named(tmp_path, kind):
    manifest = sampled.open_manifest(epath.Path(tmp_path), ["a.png"])
    manifest.begin()
    manifest.write({"a.png": b"an image"})
    sampled.finish(manifest, {"a.png": "a"}, {"seed": 3})
    damage.apply(tmp_path / sampled.FILE, damage.JSON[kind])
    with pytest.raises(UserError) as error:
        sampled.read(tmp_path)
    damage.assert_sentence(
        error, f"{tmp_path}/samples.json is damaged (", "generate the images again in another"
    )
    with pytest.raises(UserError, match="samples.json is not replaced"):
        sampled.open_manifest(epath.Path(tmp_path), ["a.png"])


def test_a_class_that_is_no_text_is_named(tmp_path):
    (tmp_path / sampled.FILE).write_text('{"classes": {"a.png": 3}, "record": {}}')
    with pytest.raises(UserError, match="a class is not text"):
        sampled.read(tmp_path)
