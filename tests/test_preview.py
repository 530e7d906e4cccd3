"""What frozen models generate by themselves: the classes asked for, the same whatever beside."""

import numpy as np
import pytest
from PIL import Image

from tests.programs import call
from vpt_gen import preview
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.runs import pretrained_samples


def draw(nets, family, class_ids, seed=0):
    decode = default_config("prompts", family).decode
    decode.batch_size = 3
    tokenizer = load_net(nets / "vqgan", "vqgan")
    transformer = load_net(nets / family, "maskgit", "gpt")
    given = tokenizer, transformer, np.array(class_ids), seed, decode
    return np.concatenate(list(pretrained_samples.stream(*given, np.ones(len(class_ids), bool))))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["nar", "ar"])
def test_an_image_depends_on_its_class_number_and_seed_alone(tiny_nets, family):
    images = draw(tiny_nets, family, [0, 0, 2, 2])
    assert images.shape == (4, 32, 32, 3)
    assert images.min() >= 0.0 and images.max() <= 1.0
    assert np.abs(images[2] - images[3]).max() > 1e-3
    np.testing.assert_allclose(draw(tiny_nets, family, [2]), images[2:3], atol=1e-5)
    assert np.abs(draw(tiny_nets, family, [2], seed=1) - images[2:3]).max() > 1e-3


def test_images_have_the_size_that_the_transformer_knows():
    assert pretrained_samples.own_num_tokens(MaskGIT(num_tokens=16)) == 16
    assert pretrained_samples.own_num_tokens(GPT()) == 256
    assert pretrained_samples.own_num_tokens(GPT(num_positions=80, order=tuple(range(64)))) == 64
    with pytest.raises(UserError, match="80 visual tokens form no square image"):
        pretrained_samples.own_num_tokens(GPT(num_positions=80))


def test_classes_by_name_or_number():
    net = MaskGIT(8, 20)
    assert pretrained_samples.choose_classes(["3", "19"], net, []) == [3, 19]
    assert pretrained_samples.choose_classes([], net, []) == list(range(8))
    assert pretrained_samples.choose_classes(["dog", "0"], net, ["cat", "dog"]) == [1, 0]
    assert pretrained_samples.choose_classes(["caf\xe9"], net, ["cat", "cafe\u0301"]) == [1]
    assert pretrained_samples.choose_classes(["999"], GPT(), []) == [999]
    for wanted in ("20", "dog", "-1"):
        with pytest.raises(UserError, match="has classes 0 to 19"):
            pretrained_samples.choose_classes([wanted], net, [])
    with pytest.raises(UserError, match="has no classes"):
        pretrained_samples.choose_classes([], MaskGIT(8, 0), [])


@pytest.mark.slow
def test_the_program_draws_a_row_a_class(tiny_nets, tmp_path):
    nets = (f"--tokenizer={tiny_nets / 'vqgan'}", f"--transformer={tiny_nets / 'ar'}")
    output = f"--output={tmp_path / 'a.png'}"
    call(preview, *nets, "--classes=3,1", "--num=2", "--set=top_k=5", output)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height == 2 * (64 + 2 + 2)
    before, folder = (tmp_path / "a.png").read_bytes(), tmp_path / "images"
    call(preview, *nets, "--classes=3,1", "--num=2", "--set=top_k=5", output, f"--folder={folder}")
    assert (tmp_path / "a.png").read_bytes() == before
    names = [f"{c}_000{i}.png" for c in (1, 3) for i in range(2)]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "samples.json"]
