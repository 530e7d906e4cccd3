"""Backbones on paper: their nets, what they need, and what to set if a machine is too small."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests import compiled_capacity
from vpt_gen.checkpoints.released import published
from vpt_gen.machine import sharding
from vpt_gen.tables import backbones, fit, flops
from vpt_gen.tables.candidates import candidates
from vpt_gen.tables.chips import MACHINES
from vpt_gen.tables.costs import num_params, tuning_flops
from vpt_gen.tables.method_sizes import num_bytes
from vpt_gen.tables.published_nets import published_net
from vpt_gen.tables.working_memory import peak_bytes

GB = 1e9


@pytest.fixture(scope="module")
def small():
    """The shipped photos source, as configs/folder.py tunes it."""
    return next(choice for choice in candidates() if choice.name == "photos")


def machine(memory, count=1):
    return dataclasses.replace(MACHINES["H100"], count=count, memory=memory, available=1.0)


def test_every_backbone_has_a_row():
    assert [c.name for c in candidates() if c.published] == list(published.BACKBONES)


@pytest.mark.slow
def test_a_new_backbone_needs_its_entry_only(monkeypatch):
    like = published.BACKBONES["maskgit256"]
    files = {"tokenizer": "new_tokenizer", "transformer": "new_transformer"}
    sizes = {
        "tokenizer": {"filters": 32, "channel_multipliers": (1, 1, 1), "codebook_size": 64},
        "transformer": {"num_layers": 2, "num_tokens": 256, "codebook_size": 64},
    }
    for part, name in files.items():
        file = dataclasses.replace(published.FILES[getattr(like, part)], fields=sizes[part])
        monkeypatch.setitem(published.FILES, name, file)
    new = dataclasses.replace(like, **files, image_size=64, fid="1.23", source="example.org/new")
    monkeypatch.setitem(published.BACKBONES, "new", new)
    choices = [choice for choice in candidates() if choice.name == "new"]
    for table in backbones.TABLES["docs/weights.md"]:
        assert table(choices).splitlines()[2].startswith("| `new` |")
    assert "[1.23](https://example.org/new)" in backbones.facts_table(choices)


@pytest.mark.slow
def test_files_are_as_large_as_their_nets():
    """Published sizes in MB against float32 parameters: the net on paper is the net in the file."""
    sizes = {}
    for name in {name for backbone in published.BACKBONES.values() for name in backbone.files}:
        file = published.FILES[name]
        net = published_net(name)
        if hasattr(net, "downsampling"):
            image = jnp.zeros((1, net.downsampling, net.downsampling, 3))
            params = jax.eval_shape(net.init, jax.random.key(0), image)["params"]
            size = num_bytes(params)
        else:
            size = 4 * num_params(net)
        stated, counted = sizes.get(file.file, (file.megabytes, 0))
        sizes[file.file] = stated, counted + size / 1e6
    assert len(sizes) >= 5
    assert {n: s for n, s in sizes.items() if abs(s[1] / s[0] - 1) > 0.02} == {}


@pytest.mark.slow
def test_time_is_that_of_the_products_in_the_programs(small):
    """Of the update, as compiled, and of 100 images in 16 views through the tokenizer."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    update = flops.count(*compiled_capacity.tuning_step(small.model, mesh, 1, stacked=False))
    assert update == tuning_flops(small.model, "none")
    config = small.config
    assert (config.num_steps, config.batch_size, config.data.cache_views) == (300, 16, 16)
    pictures = 3 * 16 * (small.drawing.flops + small.detokenizing.flops)
    work = 300 * 16 * update + 1600 * small.tokenizing.flops + pictures
    laptop = MACHINES["laptop"]
    seconds = fit.tuning_seconds(small, fit.own_settings(small), laptop)
    assert seconds == pytest.approx(work / laptop.float32 / 0.5)


def test_a_machine_with_room_changes_nothing(small):
    own = fit.own_settings(small)
    needed = fit.tuning_memory(small, own)
    assert fit.fitting(small, machine(needed)) == own
    assert fit.fitting(small, machine(needed - 1)) != own


def test_settings_that_fit_are_the_fastest_of_those(small):
    own = fit.own_settings(small)
    either = ({"dtype": "bfloat16"}, {"remat": "dots"})
    needed = [fit.tuning_memory(small, dataclasses.replace(own, **one)) for one in either]
    where = machine(max(needed))
    assert fit.fitting(small, where).changes(own) == {"dtype": "bfloat16"}
    slow = dataclasses.replace(where, bfloat16=where.float32 / 4)
    assert fit.fitting(small, slow).changes(own) == {"remat": "dots"}


def test_the_batch_is_halved_last(small):
    own = fit.own_settings(small)
    least = fit.tuning_memory(small, fit.Settings("bfloat16", "layer", own.batch_size))
    assert fit.fitting(small, machine(least)).batch_size == own.batch_size
    found = fit.fitting(small, machine(least - 1))
    assert found is None or found.batch_size < own.batch_size
    assert fit.fitting(small, machine(fit.held_bytes(small, own) / 4)) is None


def test_devices_share_the_batch(small):
    own = fit.own_settings(small)
    assert fit.tuning_memory(small, own, 8) < fit.tuning_memory(small, own, 2)
    one, eight = (fit.tuning_seconds(small, own, machine(GB, count)) for count in (1, 8))
    assert one == pytest.approx(8 * eight)


def test_the_peak_is_that_of_values_alive_together():
    x = jnp.zeros((1000,), jnp.float32)
    assert peak_bytes(lambda x: x + 1, x) == 4000
    # A chain holds an operation's input and its result.
    assert peak_bytes(lambda x: ((x + 1) * 2).sum(), x) == 8000
    # A value with a later use stays.
    assert peak_bytes(lambda x: _later(x + 1), x) == 12000
    # In a program inside, besides what waits outside.
    assert peak_bytes(lambda x: (lambda y: jax.jit(_chain)(y) + y)(x + 1), x) == 12000


def _chain(x):
    return (x * 2) * 3


def _later(y):
    return y * (y * 2 * 3)
