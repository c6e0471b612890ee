"""Singular and plural beside a masked number: ``<n> page was`` becomes ``<n> pages were``."""

from __future__ import annotations

import re

_NOUNS = (
    "annotation annotations|attachment attachments|attempt attempts|block blocks|cell cells"
    "|character characters|chunk chunks|column columns|credit credits|document documents"
    "|element elements|entry entries|error errors|field fields|file files|font fonts"
    "|footnote footnotes|form forms|image images|item items|job jobs|key keys|layer layers"
    "|line lines"
    "|match matches|message messages|node nodes|object objects|page pages|paragraph paragraphs"
    "|process processes|record records|request requests|response responses|result results"
    "|retry retries|row rows|section sections|sheet sheets|slide slides|table tables|task tasks"
    "|thread threads|time times|token tokens|try tries|user users|value values|warning warnings"
    "|word words|worker workers"
)
_PLURALS = dict(pair.split(" ") for pair in _NOUNS.split("|"))
_SINGULARS = {plural: noun for noun, plural in _PLURALS.items()}
_PLURAL_VERBS = {"is": "are", "was": "were", "has": "have", "does": "do", "remains": "remain"}
_SINGULAR_VERBS = {plural: verb for verb, plural in _PLURAL_VERBS.items()}

_ANY_NOUN = "|".join(sorted([*_PLURALS, *_SINGULARS], key=len, reverse=True))
_NOT_ADJECTIVE = "(?!(?:of|in|on|to|and|or|at|for|from|with|is|was|are|were|has|have|than|per)\\b)"
_COUNTED = re.compile(
    rf"(<n>(?<!\w<n>) (?:{_NOT_ADJECTIVE}[a-z-]{{2,20}} )?)({_ANY_NOUN})\b(?! ?[<=:])"
    r"(?: (is|was|has|does|remains)\b)?"
)
_ALL_NOUNS = frozenset([*_PLURALS, *_SINGULARS])
_AFTER_NUMBER = re.compile(r"<n> ([a-z]*)(?:[a-z-]* ([a-z]+))?")
_ANY_PLURAL = "|".join([*_SINGULARS, *map(str.capitalize, _SINGULARS)])
_NUMBERED = re.compile(rf"\b({_ANY_PLURAL}) (<n>)(?: (are|were|have|do|remain)\b)?")


def unify_plurals(pattern: str) -> str:
    """Write nouns after a number in the plural, nouns before one in the singular."""
    if "<n> " in pattern and any(
        one in _ALL_NOUNS or other in _ALL_NOUNS for one, other in _AFTER_NUMBER.findall(pattern)
    ):
        pattern = _COUNTED.sub(_write_plural, pattern)
    return _NUMBERED.sub(_write_singular, pattern) if "s <n>" in pattern else pattern


def _write_plural(match: re.Match[str]) -> str:
    number, noun, verb = match.groups()
    return f"{number}{_PLURALS.get(noun, noun)}" + (f" {_PLURAL_VERBS[verb]}" if verb else "")


def _write_singular(match: re.Match[str]) -> str:
    noun, number, verb = match.groups()
    singular = _SINGULARS[noun.lower()]
    return f"{noun[0]}{singular[1:]} {number}" + (f" {_SINGULAR_VERBS[verb]}" if verb else "")
