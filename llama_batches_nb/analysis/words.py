"""Addresses, ids and numbers in the words of a text whose digits are zeros."""

from __future__ import annotations

import re

MIN_LONG_ID = 20  # characters
MAX_WORDS = 50_000  # that are remembered


class MaskedWords(dict[str, str]):
    """What `mask_word` returned for each word; it is called for a word that is not there."""

    def __missing__(self, word: str) -> str:
        if len(self) >= MAX_WORDS:
            self.clear()
        masked = self[word] = mask_word(word)
        return masked


def mask_word(word: str) -> str:
    """Mask addresses, ids and numbers in a word, the text between two spaces."""
    if word.count(":") >= 2:
        word = _IPV6.sub("<host>", word)
    if word.count(".") >= 3:
        word = _IPV4.sub("<host>", _HOST.sub("<host>", word))
    if word.count(":") + word.count("-") >= 5:
        word = _MAC.sub("<id>", word)
    if len(word) >= MIN_LONG_ID:
        word = _LONG_ID.sub("<n>", word)
    if "-" in word or "_" in word:
        word = _COMPOUND.sub(_mask_compound, word)
    if _BESIDE_LETTER.search(word):
        word = _MIXED.sub("<n>", word)
    may_have_sign = "-" in word or "+" in word or "−" in word
    return (_SIGNED_NUMBER if may_have_sign else _NUMBER).sub("<n>", word)


_IPV6 = re.compile(
    r"""(?<![\w:.]) (?: (?:[0a-fA-F]{1,4}:){7}[0a-fA-F]{1,4}
    | (?=[0a-fA-F:.]{0,40}::) (?:[0a-fA-F]{0,4}:){2,7}+
      (?: 0{1,3}(?:\.0{1,3}){3} | [0a-fA-F]{1,4} )? )
    (?![\w:])""",
    re.VERBOSE,
)
_HOST = re.compile(
    r"(?<![\w.-])(?=[\w.-]{0,99}0)[\w-]+(?:\.[\w-]+){2,8}\.[a-z]{2}(?::0+)?(?![\w-]|\.\w)"
)
_IPV4 = re.compile(r"(?<![\w.-]) 0{1,3}(?:\.0{1,3}){3} (?: :0+ )? (?! \w | [.:]0 )", re.VERBOSE)
_MAC = re.compile(r"(?<!\w) (?: [0A-Fa-f]{2}[:-] ){5,}[0A-Fa-f]{2} (?!\w)", re.VERBOSE)
_LONG_ID = re.compile(
    r"(?<![\w~.+-])(?=[\w~.+-]{20})"
    r"(?=[^\W0]*+(?:(?<!0)0++[\w~+-]*?[^\W0][\w~.+-]*?){2}0)[\w~.+-]*\w",
    re.ASCII,
)
_COMPOUND = re.compile(r"(?<![A-Za-z0_-])[A-Za-z0]+(?:[-_]+[A-Za-z0]+)+(?![A-Za-z0_-])")
_PART = re.compile(r"[-_]+|[^-_]+")
_SUFFIX = re.compile(r"[bcdfghj-np-tv-xz]{4,5}|[A-Z]{1,2}")  # of pods; of devices
_BESIDE_LETTER = re.compile("0(?:[A-Za-z]|(?<=[A-Za-z]0))")
_MIXED = re.compile(
    r"""(?<![A-Za-z0])(?<!0[.,]) (?: 0x[0A-Fa-f]+ | [A-Za-z]{1,3}0+(?:\.0+)* | 0+[A-Za-z]{1,3}
    | (?=[0A-Fa-f]{8})(?: [A-Fa-f]+0+ | 0+[A-Fa-f]+ )
    | [A-Za-z0]*?(?: [A-Za-z]0+[A-Za-z] | 0[A-Za-z]+0 )[A-Za-z0]* ) (?![A-Za-z0])""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"0+(?:[.,:/]0+)*(?:[eE][-+]?0+\b)?")
_SIGNED_NUMBER = re.compile(rf"(?:[-+−](?<!\w.)|(?<=_)-)?{_NUMBER.pattern}")


def _mask_compound(match: re.Match[str]) -> str:
    """Mask the parts from the first with a digit to the last: ``worker-7d9f8b6c5-xkqzp``."""
    parts = _PART.findall(match[0])  # words at even places, what joins them at odd ones
    places = [place for place in range(0, len(parts), 2) if "0" in parts[place]]
    if not places or set(match[0]) <= set("0-"):
        return match[0]
    first, last = places[0], places[-1]
    while last + 2 < len(parts) and _SUFFIX.fullmatch(parts[last + 2]):
        last += 2
    if first == last:
        return match[0]
    return "".join([*parts[:first], "<n>", *parts[last + 1 :]])
