"""The FID's InceptionV3 against torch-fidelity, with random weights from the recipe."""

import jax
import pytest

from tests import golden_metrics, torch_files
from vpt_gen.evaluation.features import Extractor, inception_space
from vpt_gen.machine import sharding
from vpt_gen.nets.inception import FEATURES

pytestmark = golden_metrics.needed


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Features of the golden images: from the file on, by way of a stream of mixed sizes."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch_files.write_legacy(path, golden_metrics.recipe_tensors())
    mesh = sharding.make_mesh(jax.devices()[:1])
    images = golden_metrics.images()
    # Two full batches, each of two sizes.
    extractor = Extractor(inception_space(path), mesh, batch_size=4)
    return extractor.collect(extractor.stream(images), keep=tuple(FEATURES)).rows


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
def test_features_are_those_of_torch_fidelity(features, name):
    golden_metrics.assert_golden(features[name], f"feat_{name}")
