"""The twins in PyTorch (`tests/against_torch`), where PyTorch is installed, and the table."""

import importlib.util

import pytest

from tests.against_torch import __main__ as program
from tests.against_torch import table
from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.sizes import Size
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

_VQGAN = VQGAN(32, (1, 2), 1, 8, 16)
_SMALL = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
_NAR = Size(MaskGIT(16, 3, 16, **_SMALL), _VQGAN, 8, 3)
_AR = Size(GPT(16, 16, **_SMALL), _VQGAN, 8, 3)
_CASES = [
    ("tokenize", _NAR, "float32"),
    ("detokenize", _NAR, "float32"),
    ("decode", _NAR, "float32"),
    ("decode", _NAR, "bfloat16"),
    ("decode", _AR, "float32"),
    ("decode", _AR, "bfloat16"),
]


def record(way, seconds, **others):
    facts = {"unit": "images", "units": 2, "flops": 10, "bytes": 0, "seconds": seconds}
    return {**vars(Request("decode", way, "demo")), **facts} | others


def test_without_torch_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install torch"):
        program.check_torch()


def test_ratios_are_of_one_turn_and_have_their_spread():
    records = {
        "ours": record("ours", [1.0, 2.0, 4.0]),
        "eager": record("eager", [2.0, 6.0, 16.0], units=1),
    }
    floors = {
        "xla": record("xla", [1.0], what="matmul", flops=10),
        "torch": record("torch", [1.0], what="matmul", flops=20),
    }
    cells = [cell.strip() for cell in table.row(records, floors).strip("|").split("|")]
    assert cells == [
        "demo, decode",
        "float32",
        "1 images/s",
        "50%, 25%",
        "0.167 images/s",
        "",
        "6.00 (4.00 to 8.00)",
        "",
    ]
    assert len(cells) == table.HEADER.splitlines()[1].count("|") - 1
    assert "| 0.0 GFLOP/s | 0.0 GFLOP/s |  |" in table.floor_row(floors)


@pytest.mark.slow
@pytest.mark.parametrize("what, size, dtype", _CASES)
def test_outputs_are_those_of_ours(what, size, dtype):
    pytest.importorskip("torch")
    from tests.against_torch.check import agreement

    request = Request(what, "eager", "", batch=2, num_iterations=4, dtype=dtype)
    found = agreement(request, size)
    assert found.holds
    if dtype == "float32":
        assert found.tokens == 1


@pytest.mark.slow
def test_other_weights_are_noticed(monkeypatch):
    pytest.importorskip("torch")
    from tests.against_torch import check, models

    real = models.make

    def make(request, size):
        model = real(request, size)
        model.encoder.Conv_1.weight.mul_(1.001)
        return model

    monkeypatch.setattr(models, "make", make)
    found = check.agreement(Request("tokenize", "eager", "", batch=2), _NAR)
    assert found.difference > check.TOLERANCES["float32"] and not found.holds
