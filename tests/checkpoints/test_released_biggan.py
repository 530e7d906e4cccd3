"""BigGAN's published files."""

import shutil

import jax
import numpy as np
import pytest

from tests import golden_gan as golden
from tests.torch_files import write_arrays
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.checkpoints.released.biggan import _file_name, _file_shape
from vpt_gen.errors import UserError
from vpt_gen.nets.biggan import BigGAN

pytestmark = pytest.mark.slow

NET = BigGAN(3, 32, 4, 2, 9, 5, (8,), (16,))


def write(folder, net=NET, **changes):
    """Writes random variables of a net as the release does; the paths, and the variables."""
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: generator.normal(size=x.shape).astype(x.dtype),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    for side, file in (("generator", "G_ema.pth"), ("discriminator", "D.pth")):
        tensors = {}
        for path, value in golden.flat(variables[side]).items():
            if path.endswith("/kernel"):
                value = np.moveaxis(value, (-1, -2), (0, 1))
            tensors[_file_name(path)] = value.reshape(_file_shape(path, _shape(path, value)))
        tensors |= changes.get(side, {})
        write_arrays(folder / file, {n: v for n, v in tensors.items() if v is not None})
    return folder / "G_ema.pth", variables


def _shape(path, value):
    """The shape in our order of axes."""
    return (*value.shape[2:], value.shape[1], value.shape[0]) if "kernel" in path else value.shape


@pytest.fixture
def folder(tmp_path):
    """The golden files under the release's names."""
    if not (golden.FOLDER / "manifest.json").exists():
        pytest.skip(golden.ABSENT)
    return tmp_path


@pytest.mark.parametrize(("file", "suffix"), [("biggan.npz", ""), ("biggan128.npz", "128")])
def test_reads_what_the_reference_wrote(file, suffix, folder):
    shutil.copy(golden.file(f"generator{suffix}.pth"), folder / "G.pth")
    shutil.copy(golden.file(f"discriminator{suffix}.pth"), folder / "D.pth")
    expected, c = golden.net(file), golden.facts(file)["config"]
    config, variables = released.read(
        "biggan", folder / "G.pth", bn_epsilon=c["BN_eps"], sn_epsilon=c["SN_eps"]
    )
    net = nets.build(config)
    # The file cannot tell what was cut from the latents.
    assert net.generator.latent_size == golden.facts(file)["dim_z_actual"]
    size = expected.shared_size if expected.shared else 0
    cut = expected.generator.clone(z_size=net.z_size, shared_size=size)
    assert cut == net.generator
    assert net.discriminator == expected.discriminator
    for side in ("generator", "discriminator"):
        found = golden.flat(variables[side])
        wanted = golden.flat(golden.variables(golden.state_dict(f"{side}{suffix}.pth")))
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, name)


@pytest.mark.parametrize(
    "net",
    [
        NET,
        BigGAN(3, 32, 2, 2, 7, 5, (), (), hierarchical=False),
        BigGAN(3, 32, 2, 2, 7, 0, (), (), hierarchical=False, shared=False),
        BigGAN(2, 64, 8, 8, 10, 3, (32, 64), (8, 32)),
    ],
)
def test_takes_the_architecture_from_the_tensors(net, tmp_path):
    path, variables = write(tmp_path, net)
    config, found = released.read("biggan", path)
    read = nets.build(config)
    assert read.generator.latent_size == net.generator.latent_size
    assert (read.shared, read.hierarchical) == (net.shared, net.hierarchical)
    assert read.generator_attention == net.generator_attention
    assert read.discriminator == net.discriminator
    jax.tree.map(np.testing.assert_array_equal, found, variables)


def test_is_a_pretrained_net_afterwards(tmp_path):
    path, variables = write(tmp_path)
    config, found = released.read("biggan", path)
    save_net(str(tmp_path / "net"), nets.build(config), found, {})
    loaded = load_net(str(tmp_path / "net"), "biggan")
    assert loaded.net == nets.build(config)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, variables)


def test_one_error_lists_what_differs(tmp_path):
    path, _ = write(
        tmp_path, generator={"linear.bias": None, "blocks.0.0.bn1.new.weight": np.ones(2)}
    )
    with pytest.raises(UserError, match=r"missing linear\.bias .*unknown blocks\.0\.0\.bn1\.new"):
        released.read("biggan", path)


def test_a_discriminator_must_lie_beside(tmp_path):
    path, _ = write(tmp_path)
    (tmp_path / "D.pth").unlink()
    with pytest.raises(UserError, match=r"D\.pth is missing"):
        released.read("biggan", path)
    other = path.rename(tmp_path / "weights.pth")
    with pytest.raises(UserError, match="must have its released name"):
        released.read("biggan", other)


def test_another_file_is_named(tmp_path):
    path, _ = write(tmp_path)
    write_arrays(path, {"something": np.ones((2, 2))})
    with pytest.raises(UserError, match="is not a generator of BigGAN"):
        released.read("biggan", path)


def test_an_epsilon_is_a_number(tmp_path):
    path, _ = write(tmp_path)
    with pytest.raises(UserError, match="sn_epsilon must be"):
        released.read("biggan", path, sn_epsilon=1)
