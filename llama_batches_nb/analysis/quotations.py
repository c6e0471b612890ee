"""Quoted text in error messages: names are masked, other text is kept."""

from __future__ import annotations

import re

from llama_batches_nb.analysis.file_names import ENDING

_QUOTATION = re.compile(  # the apostrophe of O'Neil is not a quotation mark
    r"""'(?<!\w')(?!')[^\n]{1,300}?'(?!\w) | ‘[^\n]{1,300}?’(?!\w) | "(?<!\w")[^"]+"(?!\w)
    | `[^`]+` | “[^”]{1,300}” | „[^“”]{1,300}[“”] | «[^»]{1,300}»""",
    re.VERBOSE,
)
_MARKS = re.compile(r"""['"`“„«‘]""")
_ENDS_WITH_ENDING = re.compile(rf".*{ENDING}$")
_NAMELIKE = re.compile(r"\d|[/~]|\w\\\w")
_NUMBER = re.compile(r"[-+]?[\d.,:%]+")
_SENTENCE = re.compile(  # words that a message has rather than a name
    r"(?<![\w-])(?:is|are|was|were|not|cannot|could|must|has|have|does|failed|exceeded|exceeds|invalid"
    r"|missing|unsupported|expected|denied|expired|unknown|because|GET|POST|PUT|PATCH|DELETE|HEAD)"
    r"(?![\w-])|n't\b"
)
_BEFORE_NAME = re.compile(
    r"""(?:^|[\W_])(?i:files?|file_?names?|documents?|pages?|paths?|folders?|director(?:y|ies)
    |images?|sheets?|worksheets?|attachments?|uploads?|archives?|fonts?|display_?names?|named|called
    |source|bucket|host|user)["'`]?[ ]?[:=]?[ ]?$""",
    re.VERBOSE,
)


def mask_quotations(text: str) -> str:
    """Replace quoted names by ``<name>``; keep other quoted text, with its quotation marks.

    A quoted text is a name if it has an ending, a slash or a digit, or follows a word such as
    ``file``. Sentences, and keys and values of JSON, are kept, to be masked within.
    """
    return _QUOTATION.sub(_mask_quotation, text)


def _mask_quotation(match: re.Match[str]) -> str:
    quotation = match[0]
    inner = quotation[1:-1]
    if _ENDS_WITH_ENDING.match(inner) and not _SENTENCE.search(inner):
        return "<name>"
    if _is_name(match, inner):
        return "<name>"
    if " " in inner and _MARKS.search(inner):
        return quotation[0] + mask_quotations(inner) + quotation[-1]
    return quotation


def _is_name(match: re.Match[str], inner: str) -> bool:
    text, start, end = match.string, match.start(), match.end()
    has_space = " " in inner
    if has_space and _SENTENCE.search(inner):
        return False
    if _BEFORE_NAME.search(text[max(0, start - 24) : start]):
        return True
    if not _NAMELIKE.search(inner) or _NUMBER.fullmatch(inner):
        return False
    before = text[max(0, start - 2) : start].rstrip()
    is_key = text[end : end + 1] == ":" and before[-1:] in ("{", ",")
    is_value = has_space and before[-1:] == ":" and before != ""
    return not (is_key or is_value)
