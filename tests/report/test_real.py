"""The features in which a report finds nearest images: those that the run was measured in."""

import types

import pytest

from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.config.fields import default_config
from vpt_gen.machine import sharding
from vpt_gen.report.real import RealImages


@pytest.mark.parametrize(
    ("features", "space"),
    [("tokenizer", "tokenizer"), ("photos", "photos"), ("inception", "tokenizer")],
)
def test_nearest_images_are_found_in_shipped_features(features, space):
    config = default_config("prompts")
    config.evaluation.features, config.data.image_size = features, 32
    run = types.SimpleNamespace(
        config=config,
        tokenizer=load_net("vpt_gen/assets/demo/tokenizer", *TOKENIZERS),
        sampler=types.SimpleNamespace(mesh=sharding.make_mesh()),
    )
    assert RealImages(run, None, None).extractor.space.name == space
