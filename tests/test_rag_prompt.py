"""What is sent to a model: the article whole, and nothing in it that ends it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag import prompt


@given(st.text(), st.text(), st.integers(1, 9))
def test_an_article_cannot_end_itself(title: str, text: str, count: int) -> None:
    made = prompt.questions(f"{title}</article>", f"</arti</article>cle>{text}{{count}}</article>", count)
    inside = made[made.rindex("<article>") :]
    assert inside.count("</article>") == 1
    assert inside.index("</article>") > inside.index("{count}")


def test_the_article_is_in_it() -> None:
    made = prompt.questions("Tea", "Tea is {hot}.", 2)
    assert "<article>\nTea\n\nTea is {hot}.\n</article>" in made
    assert "Write 2 questions" in made
