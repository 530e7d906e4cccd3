"""Who can reach a page, without a page."""

import types

import pytest

from vpt_gen.playground import serving


@pytest.mark.parametrize(
    ("host", "others"),
    [
        ("127.0.0.1", False),
        ("127.0.0.2", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.168.0.7", True),
        ("workstation", True),
    ],
)
def test_a_note_says_if_others_reach_the_page(host, others, monkeypatch):
    said = []
    monkeypatch.setattr(serving, "say", said.append)
    page = types.SimpleNamespace(
        queue=lambda **options: None, launch=lambda **options: (None, "http://page", None)
    )
    assert serving.launch(page, host, 7860) == "http://page"
    notes = [f"Note: everybody who reaches {host} can use the page."]
    assert said == (notes if others else [])
