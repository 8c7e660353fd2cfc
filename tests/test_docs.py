"""The pages of docs/ that are made from the code are what the code says."""

import importlib

import pytest

from docs.generate import DOCS, PAGES


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    """`python docs/generate.py` writes them."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert importlib.import_module(PAGES[page]).refresh(text) == text
