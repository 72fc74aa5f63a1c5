"""LlamaIndex's plain recipe, as it is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.config import PACKAGED_MODEL
from rag.schema import Article

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]


def test_it_finds_what_it_was_given_and_finds_it_again_when_opened_anew(tmp_path: Path) -> None:
    from eval.bench.baseline import TOP, PlainRecipe

    tea = Article("tea", "Tea", "The kettle whistles when the water boils. " * 100)
    ship = Article("ship", "Ship", "The ferry left the harbour at dawn with forty passengers.")
    recipe = PlainRecipe(tmp_path, PACKAGED_MODEL)
    chunks = recipe.ingest([tea, ship])
    assert chunks > 3, "a long article is cut"
    for opened in (recipe, PlainRecipe(tmp_path, PACKAGED_MODEL)):
        found = opened.retrieve("When did the ferry leave?")
        assert len(found) == min(TOP, chunks)
        assert (found[0].article, found[0].text) == ("ship", ship.text)
        assert found[0].score > found[1].score
