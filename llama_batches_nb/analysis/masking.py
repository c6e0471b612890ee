"""Mask the variable parts of error messages: numbers, names, paths, times and ids.

The pattern of a message depends on that message alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from llama_batches_nb.analysis.error_codes import (
    Code,
    contains_any,
    find_codes,
    hide_codes,
    show_codes,
)
from llama_batches_nb.analysis.file_names import mask_file_names
from llama_batches_nb.analysis.masks import (
    DATES_IN_WORDS,
    HOST_ENDING,
    HOSTS,
    NAMES_AND_IDS,
    NIL_UUID,
    PATHS,
    URLS_AND_TYPES,
    mask_times_and_sizes,
)
from llama_batches_nb.analysis.plurals import unify_plurals
from llama_batches_nb.analysis.quotations import mask_quotations
from llama_batches_nb.analysis.words import MaskedWords

NO_MESSAGE = "(no message)"
MAX_CACHED = 50_000  # distinct texts that one call remembers

_REMOVED = dict.fromkeys(  # what nobody sees, and the noncharacters that `hide_codes` uses
    [
        *(0xAD, 0x200B, 0x200E, 0x200F, 0xFEFF),
        *(*range(0x202A, 0x202F), *range(0x2060, 0x206A), *range(0xFDD0, 0xFDDA)),
    ]
)
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_DIGIT = re.compile(r"\d")
UUID_START = 8  # characters before the first hyphen; a pattern that starts with "-" is faster
_UUID = re.compile(
    rf"-(?<=[0-9a-fA-F]{{{UUID_START}}}-)(?:[0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}(?!\w)"
)
_SAME_HOST = re.compile(r"<host>(?:/<host>| ?\((?:<host>)?\)| ?\[<host>\])")
_BETWEEN = "(?:, and |, or |, | and | or |,|[-–]| )"
_MAY_BE_LIST = re.compile(f">{_BETWEEN}<")
_LIST = re.compile(rf"(<\w+>)(?:{_BETWEEN}\1)+")
_LIST_OF_IDS = re.compile(r"\b(\w{1,20}_<n>)(?:,? \1)+")
QUOTATION_MARKS = ("'", '"', "`", "“", "„", "«", "‘")


def mask(message: str) -> str:
    """Return the pattern of a message: numbers, names, paths, URLs, times and ids are masked.

    Examples
    --------
    >>> from llama_batches_nb.analysis.masking import mask
    >>> mask("Timed out after 30 s on page 7 of 'lease (2).pdf'")
    'Timed out after <time> on page <n> of <name>'
    """
    return mask_all([message])[0]


def mask_all(messages: Iterable[str]) -> list[str]:
    """Return the pattern of each message; messages that differ in digits are masked once."""
    patterns: dict[str, str] = {}
    codes: dict[str, list[Code]] = {}
    words = MaskedWords()
    result = []
    for message in messages:
        text = _hide_digits(message, codes)
        pattern = patterns.get(text)
        if pattern is None:
            if len(patterns) >= MAX_CACHED:
                patterns.clear()
            pattern = patterns[text] = _mask_text(text, words)
        result.append(pattern)
    return result


def _hide_digits(message: str, codes: dict[str, list[Code]]) -> str:
    """Return the message on one line, with zeros for digits, except for those of codes."""
    text = message
    if "  " in text or text[:1] == " " or text[-1:] == " " or not text.isprintable():
        text = " ".join(text.split())
    is_ascii = text.isascii()
    if not is_ascii:
        text = unicodedata.normalize("NFC", text.translate(_REMOVED)).strip()
    if '\\"' in text:  # JSON within JSON
        text = text.replace('\\"', '"')
    if text.count("-") >= 4:
        text = _write_nil_uuids(text)
    zeros = _write_zeros(text)
    found = codes.get(zeros)
    if found is None:
        if len(codes) >= MAX_CACHED:
            codes.clear()
        found = codes[zeros] = find_codes(zeros) if "0" in zeros else []
    if found:
        zeros = hide_codes(zeros, text, found)
    return zeros if is_ascii else _DIGIT.sub("0", zeros)


def _write_zeros(text: str) -> str:
    """Replace ASCII digits by zeros, ten times as fast as `str.translate` does."""
    return text.encode("utf-8", "surrogatepass").translate(_ZEROS).decode("utf-8", "surrogatepass")


def _write_nil_uuids(text: str) -> str:
    parts, done = [], 0
    for match in _UUID.finditer(text):
        start = match.start() - UUID_START
        if start >= done:
            parts += [text[done:start], NIL_UUID]
            done = match.end()
    return "".join([*parts, text[done:]]) if parts else text


def _mask_text(text: str, words: MaskedWords) -> str:
    for rule in URLS_AND_TYPES:
        text = rule.apply(text)
    if contains_any(text, QUOTATION_MARKS):
        text = mask_quotations(text)
    for rule in PATHS:
        text = rule.apply(text)
    if "." in text:
        text = mask_file_names(text)
    text = DATES_IN_WORDS.apply(text)
    if HOST_ENDING.search(text):
        text = HOSTS.apply(text)
    for rule in NAMES_AND_IDS:
        text = rule.apply(text)
    if "0" in text:
        text = mask_times_and_sizes(text)
        text = " ".join([words[word] if "0" in word else word for word in text.split(" ")])
    if "<host>" in text:
        text = _SAME_HOST.sub("<host>", text)
    if "_<n>" in text:
        text = _LIST_OF_IDS.sub(r"\1", text)
    if "<" in text:
        if _MAY_BE_LIST.search(text):
            text = _LIST.sub(r"\1", text)
        text = unify_plurals(text)
    return show_codes(text) or NO_MESSAGE
