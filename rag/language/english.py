"""English words that several rules share; the only place for lists of words."""

from __future__ import annotations

NO_NAMES = frozenset(
    "A An And Any Are As At But By Can Could Did Do Does For From Had Has Have He Her His How I If In Is It Its Of"
    " On Or She So That The Their Then There These They This Those To Was We Were What When Where Which While Who"
    " Whom Whose Why Will With Would You".split()
)
OPENERS = frozenset(
    "a about according after all almost also although among an and another any are as at because before being"
    " both but by can close could despite did do does during each earlier either even finally for from given had"
    " has have having he her here his how however i if in instead is it its just later like many meanwhile more"
    " moreover most much nearly neither no nobody none nor not nothing now of officials on once one only or other"
    " others our overall people police rather researchers same scientists several she since so some still such"
    " than that the their them then there therefore these they this those though through thus to today together"
    " under unlike until upon was we were what when where whether which while who whom whose why will with within"
    " without would yes yet you your".split()
)
"""Words that begin a sentence with a capital and name nobody."""

NEWS = r"(?:articles?|stor(?:y|ies)|coverage|pieces?|posts?|issues?|editions?|columns?|editorials?|op-eds?|reviews?)"
REPORTS = rf"(?:{NEWS}|reports?|reporting|interviews?|headlines?|newsletters?|news)"
PRINTED = r"(?:published|posted|printed|dated|reported)"
FUNCTION_WORDS = (
    "a about after all also am an and any are as at be because been before being but by can could did do does "
    "doing for from had has have having he her hers him his how i if in into is it its just many me more most "
    "much my no nor not of off on or our out over own said say says she should so some such tell than that the "
    "their them then there these they this those to told too under until up was we were what when where which "
    "while who whom whose why will with would you your"
).split()
"""Words that carry a question's grammar, not its subject; they neither match nor count as unmatched."""
NO_SUBJECTS = frozenset(
    "january february march april may june july august september october november december monday tuesday wednesday"
    " thursday friday saturday sunday mr mrs ms dr st".split()
)
