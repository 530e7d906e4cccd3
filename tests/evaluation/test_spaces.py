"""Which features: Inception's where its weights are, and otherwise shipped ones, which is told."""

import dataclasses

import pytest

from tests import measured
from vpt_gen.checkpoints.feature_spaces import FEATURE_SPACES
from vpt_gen.checkpoints.inception import FILE
from vpt_gen.errors import UserError
from vpt_gen.evaluation import spaces
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.metrics import names_in

# Tokenizer of a run -> the features by default.
TOKENIZERS = {
    "": "photos",
    "vpt_gen/assets/photos/tokenizer": "photos",
    "runs/source_tokenizer/net": "photos",
    "vpt_gen/assets/demo/tokenizer": "tokenizer",
    "/elsewhere/vpt_gen/assets/demo/tokenizer": "tokenizer",
}


def test_weights_at_hand_decide(tmp_path, capsys):
    for tokenizer, name in TOKENIZERS.items():
        assert spaces.choose_space(str(tmp_path), tokenizer) == name
        assert "without FID. --features=inception" in capsys.readouterr().out
    spaces.choose_space(str(tmp_path), cure="Copy it.")
    assert capsys.readouterr().out.endswith("without FID. Copy it.\n")
    (tmp_path / FILE).write_bytes(b"not the published file")
    assert spaces.choose_space(str(tmp_path)) == "inception"
    assert not capsys.readouterr().out
    with pytest.raises(UserError, match="is not the published file"):
        spaces.open_space("inception", str(tmp_path))


def test_the_shipped_tokenizer_serves_where_none_is_named(tmp_path):
    space = spaces.open_space("tokenizer", str(tmp_path))
    assert (space.name, space.dims["latents"], space.logits) == ("tokenizer", 64, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURE_SPACES)
def test_only_inception_has_a_fid_and_a_score(name):
    space = dataclasses.replace(measured.small_space(), name=name)
    if name == "inception":
        space = dataclasses.replace(space, logits="small")
    yardstick = measured.yardstick(space=space)
    found, _ = measure(yardstick, measured.image_set(*measured.blobs(40), digest=""))
    taken = {*found.values, *found.left_out}
    assert taken == set(names_in(name))
    frechet = {"inception": "fid", "dinov2": "fd_dinov2"}.get(name, "frechet")
    assert taken & {"fid", "fd_dinov2", "frechet"} == {frechet}
    assert ("inception_score" in taken) == (name == "inception")
    assert ("cmmd" in taken) == (name == "clip")
    assert frechet in found.values
