"""The word lists: each word in one class, and the sets that rules compose of them."""

from __future__ import annotations

from rag.language import english as en


def test_each_word_is_in_one_class() -> None:
    grammar = (
        en.ARTICLES,
        en.PRONOUNS,
        en.QUESTION_WORDS,
        en.AUXILIARIES,
        en.PREPOSITIONS,
        en.CONJUNCTIONS,
        en._LESS_FREQUENT,
        en._NOT_AT_THE_START,
        en._OPENING_WORDS,
    )
    assert sum(map(len, grammar)) == len(frozenset().union(*grammar))
    assert en.SELDOM_LAST.isdisjoint(en.NEVER_LAST)


def test_rules_for_names_agree_on_the_grammar() -> None:
    assert {word.lower() for word in en.NO_NAMES} == en.GRAMMAR <= en.OPENERS & set(en.FUNCTION_WORDS)
    assert (len(en.FUNCTION_WORDS), len(en.OPENERS), len(en.NO_SUBJECTS)) == (105, 141, 24)
