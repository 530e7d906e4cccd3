"""Every test has stand-ins of its own."""

import pytest

from tests.launch.fakes import Fakes


@pytest.fixture
def fakes(tmp_path):
    return Fakes(tmp_path / "fakes")
