"""What in a sentence can be checked word by word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language.facts import facts_of, lower_words, words_of


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("Nine ships and 1,200 crates came on 8 Nov. 2024.", {"9", "1200", "8", "2024"}),
        ("It cost £3.5m, or 3.50 million.", {"3.5", "3.50", "million"}),
        ("Twenty-five of the ninety came; one did not.", {"25", "90"}),
        ("The third pier, a dozen years old, fell.", {"3", "12"}),
        ("Some 007 of 1.000.000 came.", {"7", "1000000"}),
        ("One ship came first.", set()),
        ("It rose by .5, or 0.125, or 1234.567.", {".5", ".125", "1234.567"}),
        ("It cost 1,234.50, or 1.234.567,8.", {"1234.50", "1234567.8"}),
        ("It took 5½ days.", {"5", "½"}),
        ("The twenty-first and the 22nd, the thirteenth, the thirtieth.", {"21", "22", "13", "30"}),
    ],
)
def test_numbers(text: str, figures: set[str]) -> None:
    assert facts_of(text).figures == figures


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The owner, Ada Moor, came to Tolm.", [("ada", "moor"), ("tolm",)]),
        ("Ada Moor’s ferry came.", [("ada", "moor")]),
        ("In May the Bank of England paid.", [("may",), ("bank", "england")]),
        ("However, Zoë came. They saw her.", [("zoe",)]),
        ("The U.N. Security Council met.", [("un", "security", "council")]),
        ("Ferries came.", [("ferries",)]),
        ("I came.", []),
    ],
)
def test_names(text: str, names: list[tuple[str, ...]]) -> None:
    assert list(facts_of(text).names) == names


def test_a_word_in_lower_case_elsewhere_is_no_name_at_the_start() -> None:
    assert facts_of("Ferries came.", lower_words("All ferries came.")).names == ()
    assert facts_of("Tolm came.", lower_words("All ferries came to Tolm.")).names == (("tolm",),)


@pytest.mark.parametrize(
    ("claim", "source", "missing"),
    [
        ("Iraq wrote to the UN.", "The Iraqi letter went to the United Nations.", []),
        ("It wrote to the United Nations.", "It wrote to the U.N. again.", []),
        ("Iran wrote.", "Iraq wrote.", ["iran"]),
        ("They came from Mercia.", "They came as Merchants.", ["mercia"]),
        ("George came.", "He came from Georgia.", ["george"]),
        ("Ada Moor came.", "Moor came.", ["ada"]),
        ("It cost nine crowns.", "It cost 9 crowns.", []),
        ("It cost 10 crowns.", "It cost 100 crowns.", ["10"]),
        ("It was on 5 May 2024.", "It was on 6 May 2024.", ["5"]),
        ("It cost two million.", "It cost 2 billion.", ["million"]),
    ],
)
def test_facts_missing_from_a_text(claim: str, source: str, missing: list[str]) -> None:
    assert facts_of(claim).missing([facts_of(source)]) == missing


@pytest.mark.parametrize(
    ("claim", "source", "missing"),
    [
        ("Ankara wrote.", "Iraq sent a letter.", ["ankara"]),
        ("Ian Smith wrote.", "Iraq is to write.", ["ian", "smith"]),
        ("Al wrote.", "Ada Lane wrote.", ["al"]),
        ("He met the UN’s men.", "He met men whom the United Nations sent.", []),
        ("He met men whom the United Nations sent.", "He met the U.N.’s men.", []),
    ],
)
def test_initials_are_those_of_an_abbreviation_and_not_of_any_word(claim: str, source: str, missing: list[str]) -> None:
    assert facts_of(claim).missing([facts_of(source)]) == missing


@pytest.mark.parametrize(
    ("claim", "source"), [("Nine ships came.", "It saw 9 ships."), ("Fifty came.", "All 50 came.")]
)
def test_a_number_that_begins_a_sentence_is_no_name(claim: str, source: str) -> None:
    assert facts_of(claim).names == ()
    assert facts_of(claim).figures <= facts_of(source).figures


@pytest.mark.parametrize(
    ("claim", "source"),
    [("0.125", "125"), (".5", "5"), ("5½", "5¼"), ("the twenty-first", "the 20"), ("the thirteenth", "the fourteenth")],
)
def test_a_different_number_is_missing_in_any_spelling(claim: str, source: str) -> None:
    assert facts_of(f"It was {claim} then.").missing([facts_of(f"It was {source} then.")])


def test_facts_are_searched_in_all_sources() -> None:
    assert facts_of("Ada Moor paid 9 crowns.").missing([facts_of("He saw Ada Moor."), facts_of("It cost 9.")]) == []


@pytest.mark.parametrize(
    ("text", "surely", "maybe"),
    [
        ("It did not close.", True, True),
        ("The board refused to close it.", False, True),
        ("It closed.", False, False),
    ],
)
def test_levels_of_denial(text: str, surely: bool, maybe: bool) -> None:
    facts = facts_of(text)
    assert (facts.says_not, facts.denies, facts.may_deny) == (surely, maybe, maybe)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_no_text_lacks_its_own_facts(text: str) -> None:
    assert facts_of(text).missing([facts_of(text)]) == []


@given(st.integers(10, 10**6), st.integers(10, 10**6))
def test_another_number_is_missing(one: int, other: int) -> None:
    lacking = facts_of(f"It cost {one} crowns.").missing([facts_of(f"It cost {other} crowns.")])
    assert lacking == ([] if one == other else [str(one)])


@given(st.integers(0, 10**9), st.integers(0, 999))
def test_a_changed_digit_is_missing(number: int, place: int) -> None:
    digits = f"{number:,}"
    at = place % len(digits)
    if digits[at] != ",":
        changed = f"{digits[:at]}{(int(digits[at]) + 1) % 10}{digits[at + 1 :]}"
        assert facts_of(f"It cost {changed}.").missing([facts_of(f"It cost {digits}.")])


def test_words_are_compared_without_accents_and_endings() -> None:
    assert words_of("Zoë’s U.S. co-op") == ["zoe", "us", "co", "op"]


@pytest.mark.parametrize("text", ["ſixty ships", "fıfty ships", "the ſecond of 9 ships", "5 \u212a"])
def test_number_words_are_ascii(text: str) -> None:
    assert facts_of(text).figures <= {"5", "9"}
