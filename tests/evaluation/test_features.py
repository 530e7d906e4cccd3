"""Streams of images: batches, sizes and devices do not change what comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.data import arrays
from vpt_gen.errors import UserError
from vpt_gen.evaluation import canvases
from vpt_gen.evaluation.distances import frechet
from vpt_gen.evaluation.features import (
    Extractor,
    FeatureSpace,
    tokenizer_space,
)
from vpt_gen.evaluation.neighbors import nearest
from vpt_gen.machine import sharding
from vpt_gen.nets import resize
from vpt_gen.nets.taming_vqgan import TamingVQGAN

DEMO = "vpt_gen/assets/demo/tokenizer"
RANDOM = np.random.default_rng(0)
MIXED = [
    RANDOM.integers(0, 256, (*size, 3)).astype(np.uint8)
    for size in [(8, 8), (8, 8), (20, 5), (3, 33), (1, 1), (16, 16), (8, 8)]
]


def mesh(devices=1):
    return sharding.make_mesh(jax.devices()[:devices])


@pytest.fixture(scope="module")
def pixels():
    """A space whose features are the 2x2 copy of an image, scaled."""
    return FeatureSpace(
        name="pixels",
        digest="0",
        dims={"small": 12, "first": 1},
        main="small",
        near="small",
        classes="small",
        resize="antialiased",
        params=jnp.float32(2.0),
        prepare=lambda images, sizes: resize.antialiased(images, sizes, 2),
        apply=lambda scale, x: {"small": scale * x.reshape(-1, 12), "first": x[:, 0, 0, :1]},
    )


@pytest.fixture(scope="module")
def demo():
    return tokenizer_space(load_net(DEMO, *TOKENIZERS), side=32)


@pytest.fixture(scope="module")
def digits():
    source = arrays.open_digits()
    drawn = np.random.default_rng(0).permutation(len(source))[:400]
    return [source.load(i) for i in drawn], np.asarray(source.labels)[drawn]


def rows(space, images, devices=1, batch_size=64, name=None):
    name = name or space.main
    extractor = Extractor(space, mesh(devices), batch_size)
    return extractor.collect(extractor.stream(images), keep=[name]).rows[name]


@pytest.mark.slow
def test_mixed_sizes_keep_their_order(pixels):
    expected = [
        2 * np.asarray(jax.image.resize(image.astype(np.float32), (2, 2, 3), "linear")).ravel()
        for image in MIXED
    ]
    np.testing.assert_allclose(rows(pixels, MIXED), np.stack(expected), atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_a_stream_equals_one_batch(pixels, batch_size):
    np.testing.assert_allclose(
        rows(pixels, MIXED, batch_size=batch_size), rows(pixels, MIXED), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("most", [1, 2000, 10_000])
def test_little_memory_changes_nothing(pixels, most, devices, monkeypatch):
    expected = rows(pixels, MIXED * 2, batch_size=5)
    monkeypatch.setattr(canvases, "MAX_BYTES", most)
    np.testing.assert_allclose(rows(pixels, MIXED * 2, devices, 5), expected, rtol=1e-6)


def test_canvases_together_stay_below_the_limit(monkeypatch):
    monkeypatch.setattr(canvases, "MAX_BYTES", 2000)
    groups = list(canvases.groups(MIXED * 3, 5))
    assert [image.shape for group, _ in groups for image in group] == [x.shape for x in MIXED * 3]
    laid = [canvases.lay(group)[0].nbytes for group, _ in groups]
    assert all(
        size <= 2000 for (group, _), size in zip(groups, laid, strict=True) if len(group) > 1
    )
    ends = np.cumsum([len(group) for group, _ in groups])[[is_last for _, is_last in groups]]
    assert ends.tolist() == [5, 10, 15, 20, 21]
    assert laid and max(laid) <= 2000


def test_pictures_batches_and_arrays_are_the_same_stream(pixels):
    images = np.stack([MIXED[0], MIXED[1], MIXED[6]])
    expected = rows(pixels, list(images))
    np.testing.assert_array_equal(rows(pixels, images), expected)
    np.testing.assert_array_equal(rows(pixels, [images[:2], images[2]]), expected)


def test_images_are_taken_as_they_are_needed(pixels):
    taken = []

    def images():
        for i in range(1000):
            taken.append(i)
            yield MIXED[0]

    next(Extractor(pixels, mesh(), 4).stream(images()))
    assert len(taken) <= 16


@pytest.mark.slow
def test_eight_devices_equal_one(demo, digits):
    images = digits[0][:13]
    one, eight = (rows(demo, images, devices, batch_size=8) for devices in (1, 8))
    np.testing.assert_allclose(eight, one, atol=1e-5)


def test_the_batch_is_shared_out(pixels):
    extractor = Extractor(pixels, mesh(8), 12)
    assert extractor.batch_size == 16
    canvases = np.zeros((16, 8, 8, 3), np.uint8), np.full((16, 2), 8, np.int32)
    prepared = extractor._prepare(*jax.device_put(canvases, extractor._split))
    assert {shard.data.shape for shard in prepared.addressable_shards} == {(2, 2, 2, 3)}


def test_products_are_exact_also_where_a_device_would_round(demo):
    extractor = Extractor(demo, mesh(), 1)
    with jax.default_matmul_precision("bfloat16"):
        text = extractor._apply.lower(demo.params, np.zeros((1, 32, 32, 3), np.float32)).as_text()
    assert "convolution" in text and "HIGHEST" in text and "DEFAULT" not in text


def test_one_pass_gives_moments_and_rows(pixels):
    extractor = Extractor(pixels, mesh(), 3)
    found = extractor.collect(
        extractor.stream(MIXED), moments=["small", "first"], keep=["small"], max_kept=4
    )
    everything = rows(pixels, MIXED)
    assert found.count == 7
    mean, covariance = found.moments["small"]
    np.testing.assert_allclose(mean, everything.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(everything, rowvar=False), rtol=1e-5)
    assert found.moments["first"][1].shape == (1, 1)
    np.testing.assert_allclose(found.rows["small"], everything[found.indices], rtol=1e-6)
    assert len(found.indices) == 4


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)],
)
def test_other_images_are_refused(pixels, image):
    with pytest.raises(ValueError, match="must be uint8"):
        rows(pixels, [image])


def test_no_images_and_unknown_features_are_said(pixels):
    with pytest.raises(UserError, match="no images"):
        rows(pixels, [])
    with pytest.raises(UserError, match="has no feature '2048'; it has small, first"):
        rows(pixels, MIXED, name="2048")
    with pytest.raises(UserError, match="two images or more, but there is 1"):
        extractor = Extractor(pixels, mesh())
        extractor.collect(extractor.stream(MIXED[:1]), moments=["small"])


@pytest.mark.slow
def test_the_shipped_space_sees_what_is_missing(demo, digits):
    images, labels = digits
    features = rows(demo, images)
    assert features.shape == (400, demo.dims["latents"])
    reference, others = features[:200], features[200:]
    few_classes = others[labels[200:] < 3]
    floor = frechet(others[: len(few_classes)], reference)
    assert frechet(few_classes, reference) > 1.5 * floor
    floor = frechet(others, reference)
    upside_down = rows(demo, [image[::-1] for image in images[200:]])
    assert frechet(upside_down, reference) > 3 * floor


@pytest.mark.slow
def test_another_tokenizer_makes_a_space_too():
    net = TamingVQGAN(
        filters=32,
        channel_multipliers=(1, 1),
        num_res_blocks=1,
        attention_levels=(1,),
        latent_channels=8,
        embedding_dim=5,
        codebook_size=4,
    )
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    space = tokenizer_space(PretrainedNet(net, params, "digest", {}), side=16)
    features = rows(space, MIXED[:3])
    assert features.shape == (3, 10) and np.all(features[:, 5:] > 0)
    assert space.digest == "digest"


@pytest.mark.slow
def test_the_nearest_images_are_those_of_the_same_layout(demo, digits):
    images, labels = digits
    right = {}
    for name in (demo.main, demo.near):
        features = rows(demo, images, name=name)
        assert features.shape == (400, demo.dims[name])
        found = nearest(features[300:], features[:300])
        right[name] = (labels[found.indices] == labels[300:]).mean()
    assert right[demo.near] > right[demo.main] + 0.1
