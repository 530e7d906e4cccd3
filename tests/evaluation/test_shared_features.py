"""Features by several processes, here one after the other, are those of one process."""

import dataclasses

import numpy as np
import pytest
from etils import epath

from tests import measured
from vpt_gen.errors import UserError
from vpt_gen.evaluation import perceptual_diversity
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.measure import measure, pictured
from vpt_gen.evaluation.shared_features import SharedFeatures
from vpt_gen.machine import distributed

IMAGES, LABELS = measured.blobs(50, seed=5)
SHOWN = np.arange(50) % 7 == 3


class Streamed:
    """A set whose stream counts the images that it gives."""

    def __init__(self):
        self.count = 0
        names = tuple(f"class {i}" for i in range(3))
        self.images = ImageSet("generated images", LABELS, names, self._stream, {"count": 50})

    def _stream(self, wanted=None):
        chosen = IMAGES if wanted is None else IMAGES[wanted]
        self.count += len(chosen)
        return iter(chosen)


@pytest.fixture
def shared(tmp_path):
    return SharedFeatures(epath.Path(tmp_path) / "features")


def extract(shared, extractor, images, monkeypatch, processes, only=None):
    """What all processes, or only some of them, would extract together."""
    # All see what was there at the beginning, as the first one tells them.
    with monkeypatch.context() as patch:
        told = []
        patch.setattr(distributed, "first_tells", lambda x: told.append(x) or told[0])
        for number in range(processes) if only is None else only:

            def share_of(items, number=number):
                return np.array_split(items, processes)[number]

            patch.setattr(distributed, "share_of", share_of)
            shared.extract(extractor, images, SHOWN)


def read(shared, extractor, images):
    pictures = []
    return list(shared.read(extractor, images, SHOWN, pictures)), pictures


@pytest.mark.parametrize("processes", [1, 2, 4, 7])
def test_the_batches_are_those_of_one_process(shared, monkeypatch, processes):
    extractor, streamed = measured.extractor(batch_size=8), Streamed()
    extract(shared, extractor, streamed.images, monkeypatch, processes)
    assert streamed.count == 50, "an image is extracted twice, or never"
    batches, pictures = read(shared, extractor, streamed.images)
    for found, expected in zip(batches, extractor.stream(IMAGES), strict=True):
        assert found.keys() == expected.keys()
        for name, rows in expected.items():
            np.testing.assert_array_equal(found[name], rows)
    np.testing.assert_array_equal(pictures, IMAGES[SHOWN])


def test_a_killed_job_resumes_on_another_number_of_processes(shared, monkeypatch):
    extractor, streamed = measured.extractor(batch_size=8), Streamed()
    extract(shared, extractor, streamed.images, monkeypatch, 3, only=(0, 2))
    with pytest.raises(UserError, match=r"000003.npz cannot be read .* give the same command"):
        read(shared, extractor, streamed.images)
    before, streamed.count = streamed.count, 0
    extract(shared, extractor, streamed.images, monkeypatch, 2)
    assert streamed.count == 50 - before
    batches, pictures = read(shared, extractor, streamed.images)
    assert sum(len(batch["small"]) for batch in batches) == 50
    np.testing.assert_array_equal(pictures, IMAGES[SHOWN])
    shared.remove()
    assert not shared.folder.exists()


def test_other_images_and_other_features_take_nothing_of_these(shared, monkeypatch):
    extractor, streamed = measured.extractor(batch_size=8), Streamed()
    extract(shared, extractor, streamed.images, monkeypatch, 1)
    other = dataclasses.replace(streamed.images, record={"seed": 1})
    for of, images in (
        (extractor, other),
        (measured.extractor(batch_size=16), streamed.images),
        (measured.extractor(measured.small_space("1"), batch_size=8), streamed.images),
    ):
        streamed.count = 0
        extract(shared, of, images, monkeypatch, 1)
        assert streamed.count == 50


def test_figures_from_files_are_those_of_one_pass(shared, monkeypatch):
    alone, images = measured.yardstick(), Streamed().images
    expected, kept = measure(alone, images, SHOWN)
    together = dataclasses.replace(alone, shared=shared)
    together.extract_together(images, pictured(together, images, SHOWN))
    found, measured_together = measure(together, images, SHOWN)
    assert found == expected and len(found.values) > 5
    assert measured_together.pictures.keys() == kept.pictures.keys()


@pytest.mark.parametrize("found", [True, False])
def test_all_hosts_see_the_weights_of_lpips_or_none(found, monkeypatch):
    """Otherwise they would look for different files."""
    monkeypatch.setattr(perceptual_diversity, "perceptual_files", lambda *_: found)
    monkeypatch.setattr(perceptual_diversity, "load_perceptual", lambda *_: measured)
    assert perceptual_diversity.find_perceptual("weights") == (measured if found else None)
    # Another host sees the opposite.
    monkeypatch.setattr(distributed, "all_agree", lambda holds: False)
    with pytest.raises(UserError, match="Only some hosts see weights of LPIPS in weights: name"):
        perceptual_diversity.find_perceptual("weights")
