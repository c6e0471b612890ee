"""File names in error messages that are not quoted and may contain spaces."""

from __future__ import annotations

import re

_ENDING_TEXT = (  # with zeros for digits
    "pdf doc docx docm xls xlsx xlsm ppt pptx odt ods odp rtf txt md csv tsv json jsonl xml yml "
    "yaml htm html epub eml msg jpg jpeg png gif tif tiff webp heic bmp svg mp0 m0a mov wav zip "
    "rar tar gz tgz log parquet pages numbers key conf cfg ini properties tmp bak"
)
_ENDINGS = _ENDING_TEXT.split()
ENDING = rf"\.(?i:{'|'.join(_ENDINGS)})(?!\w|[.-]\w)"
MAX_WORDS = 8  # of a name, before the word with the ending
MAX_LENGTH = 160  # characters of a name

_MAY_BE_ENDING = re.compile(r"\.(\w{2,10}+)(?!\w|[.-]\w)")
_KNOWN_ENDINGS = frozenset(_ENDINGS)
_BEFORE_NAME = re.compile(r"""^.*["`“„«<>|=:;,*?]|^[(\[{'‘]+(?![^)\]}'’]*[)\]}'’])""", re.DOTALL)
_PREDICATE = re.compile(  # what follows a name that is the subject of a sentence
    r":|[ ](?:is|was|has|had|could|can|cannot|can't|couldn't|isn't|wasn't|hasn't|does|doesn't|did"
    r"|didn't|exceeds|contains|failed|needs|must|cannot)\b"
)
_MESSAGE_TEXT = (
    "a about after against an any archive are at attachment be because before but by can can't "
    "cannot close compress conversion convert copy could couldn't create decode decrypt delete "
    "did didn't directory do document does doesn't download during each encode error every "
    "extract extraction failed failure fetch file filename files find folder for from had has "
    "have if image in input into invalid is isn't it its job join larger line load locate longer "
    "merge missing move name named no not on only open or output page pages parse parser path "
    "process read reject remove rename render row save see send sheet skip split store than that "
    "the this through timeout to too unable unreadable unsupported upload validate via was were "
    "while will with within without write "
)
_MESSAGE_WORDS = frozenset(_MESSAGE_TEXT.split())
_NAME_TEXT = "scanned signed revised updated combined merged approved "
_NAME_WORDS = frozenset(_NAME_TEXT.split())
_LINK_TEXT = "of the and de la le du des di da del von van und der et e y & "
_LINK_WORDS = frozenset(_LINK_TEXT.split())


def mask_file_names(text: str) -> str:
    """Replace file names with a known ending by ``<path>``, endings alone by ``<type>``.

    A name starts after the last word that belongs to the message: ``Cannot open Lease of 2024.pdf``
    has the pattern ``Cannot open <path>``. In doubt a word stays in the pattern.
    """
    parts, done = [], 0
    for match in _MAY_BE_ENDING.finditer(text):
        if match[1].lower() not in _KNOWN_ENDINGS:
            continue
        start = _find_start(text, done, match)
        if start < match.start():
            parts += [text[done:start], "<path>"]
        elif text[start - 1 : start] in ("", " ", "*"):
            parts += [text[done:start], "<type>"]
        else:
            continue
        done = match.end()
    return "".join([*parts, text[done:]]) if parts else text


def _find_start(text: str, earliest: int, ending: re.Match[str]) -> int:
    """Return where the name with this ending starts."""
    earliest = max(earliest, ending.start() - MAX_LENGTH)
    words = text[earliest : ending.start()].rsplit(" ", MAX_WORDS)
    start = position = ending.start() - len(words[-1])
    if before := _BEFORE_NAME.match(words[-1]):
        return start + before.end()
    after_unsure = 0  # where the name starts without words that may belong to the message
    previous = ""
    for number in range(len(words) - 2, -1, -1):
        word, previous = words[number], words[number]
        if not _may_be_in_name(word) and not (word == "the" and words[number - 1] == "of"):
            break
        position -= len(word) + 1
        if word in _LINK_WORDS:
            continue
        if word[0].islower() and not after_unsure:
            after_unsure = start
        start, previous = position, ""
    if not after_unsure or previous.lower() in _MESSAGE_WORDS:
        return start
    is_subject = position == 0 and _PREDICATE.match(text, ending.end())
    return start if is_subject else after_unsure


def _may_be_in_name(word: str) -> bool:
    lowered = word.lower()
    if not word or lowered in _MESSAGE_WORDS or word[-1] in "\"'`:;,=?!<>|*.":
        return False
    if (word[0] in "\"'`<>|*(" and word[-1] not in ")]") or "<" in word:
        return False
    return lowered in _NAME_WORDS or not (word[0].islower() and word.endswith(("ed", "ing")))
