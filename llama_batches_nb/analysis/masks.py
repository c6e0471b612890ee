"""Regular expressions of what is masked in a text whose digits are zeros.

They are bounded (``{0,80}``) or possessive (``*+``), so that their time grows linearly with the
length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_batches_nb.analysis.file_names import ENDING


@dataclass(frozen=True)
class Mask:
    """A replacement, what it replaces, and a part that all of that has, which is found faster."""

    replacement: str
    hint: str
    pattern: re.Pattern[str]

    def apply(self, text: str) -> str:
        """Return the text with its matches replaced."""
        return self.pattern.sub(self.replacement, text) if self.hint in text else text


def _mask(replacement: str, hint: str, pattern: str) -> Mask:
    return Mask(replacement, hint, re.compile(pattern, re.VERBOSE))


NIL_UUID = "00000000-0000-0000-0000-000000000000"
_FILE_NAME = rf"""(?: [^/\\"<>|:*?,;]{{0,80}}? {ENDING} | [^\s/\\"<>|:*?,;]*\w )?"""
_WINDOWS_FOLDERS = r"""(?: [^/\\"<>|:*?,;]*[\\/] )*+"""
_QUERY = r"""(?: \?[^\s"'<>]+ )?"""
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MONTH_NAME = _MONTH + r"[a-z]{0,6}\.?"
_DAY = r"0{1,2}(?:st|nd|rd|th)?"
_ZONE = r"(?: [ ]?(?: Z\b | UTC\b | GMT\b | [+-]00:?00\b ) )?"
_CLOCK = rf"00?:00 (?: :00(?:[.,]0+)? )? (?: [ ]?[AaPp][Mm]\b )? {_ZONE}"
_REST_OF_AMOUNT = r"0*+(?:[.,]0+)*+(?:[eE][-+]?0+)?"
_UNIT = (
    r"(?: [mµun]?s | m?secs? | mins? | hrs? | h | (?:milli|micro|nano)?seconds? | minutes? | hours?"
    r" | days? | weeks? | months? | years? )(?:\(s\))?(?!\w)"
)
_REST_OF_DURATION = (
    rf"{_REST_OF_AMOUNT}(?: [ ]?{_UNIT} | [mh](?![\w.-]) | [dhm](?=[ ]?0+(?:[hms]|min|sec)) )"
)
_DOMAIN = (
    "(?:com|net|org|edu|gov|mil|io|dev|ai|cloud|local|localdomain|internal|lan|corp|arpa|example"
    "|info|biz|uk|de|fr|jp|cn|hk|tw|kr|au|nz|ca|ru|ch|nl|se|fi|dk|pl|cz|hu|ro|pt|es|gr|tr|il|br|mx"
    "|ar|cl|sg|eu|ie)"
)

URLS_AND_TYPES = (
    _mask("<url>", "://", r"""[A-Za-z][\w+.-]{0,20}://[^\s'"<>]*[^\s'"<>.,;:!?)\]}]"""),
    _mask("<email>", "@", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    _mask(
        "<type>",  # of a file, as in MIME
        "/",
        r"""(?<![\w/.-])(?:application|audio|font|image|message|model|multipart|text|video)
        /[A-Za-z0][\w.+-]*\w(?:;[ ]?charset=[\w-]+)?(?![\w/])""",
    ),
)
PATHS = (
    _mask("<path>", "\\", rf"(?: \b[A-Za-z]:[\\/] | \\\\ ) {_WINDOWS_FOLDERS} {_FILE_NAME}"),
    _mask(
        "<path>",  # on Windows, with spaces in folders; absolute or ./relative; a/b/c
        "/",
        rf"""\b[A-Za-z]:/ {_WINDOWS_FOLDERS} {_FILE_NAME}
        | (?<![\w<>/]) [~.]{{0,2}}/(?=[^\s/]) (?: [^\s/"<>|:*?,;]+/ )*+ {_FILE_NAME} {_QUERY}
        | \b[^\W\d][\w.-]{{0,80}}/ (?: [^\s/"<>|:*?,;]+/ )++ {_FILE_NAME} {_QUERY}""",
    ),
)
DATE_HINT = re.compile("[JFMASOND](?:an|eb|ar|pr|ay|un|ul|ug|ep|ct|ov|ec)")
DATE_IN_WORDS = re.compile(
    rf"""(?: \b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?[ ] )?
    (?: \b{_MONTH_NAME}[ ]{{1,2}}{_DAY}\b(?!:) (?: ,?[ ]0000\b(?!:) )?
      | \b{_DAY}[ -]{_MONTH_NAME},?[ -]00(?:00)?\b )
    (?: ,?[ ](?:at[ ])?{_CLOCK} )? (?: [ ][A-Z]{{3,4}}\b(?=[ ]0000) )? (?: [ ]0000\b )?""",
    re.VERBOSE,
)
TIMES_AND_SIZES = (
    _mask(
        "<host>",
        ".",
        rf"""(?<![\w.-]) [A-Za-z0_][\w-]{{0,62}}+ (?: \.[\w-]{{1,63}}+ ){{0,8}}? \.{_DOMAIN}
        (?: :0+ )? (?! [\w-] | \.\w )""",
    ),
    _mask(
        r"\g<1><name>",
        "user ",
        r"""\b((?:for|[Ii]nvalid|[Uu]nknown|by|as)[ ]user[ ])
        (?!is\b|has\b|was\b|not\b|and\b|or\b|in\b)[\w.@-]+""",
    ),
    _mask(r"for <name>", " from 0", r"\bfor [\w.@-]+(?=[ ]from[ ]0)"),
    _mask("<n>", "ff", r"(?<!\w)(?:0x)?[fF]{4,}(?!\w)"),
    _mask("<id>", NIL_UUID, rf"(?<![A-Za-z0])(?:[a-z]{{2,6}}[-_])?{NIL_UUID}"),
    _mask(
        "<id>",
        "-",
        r"\b(?:bat|cfg|dfl|dir|ejb|org|pjb|prj)-(?=[\w-]{0,40}[0A-Z])\w[\w-]*",
    ),
    _mask(
        "<time>",
        "0",
        rf"""0(?<![\w.-]0) (?: 000([-/.])0{{1,2}}\1 0{{1,2}} | 0?([-/.])0{{1,2}}\2 0000 )
        (?: [T :]{_CLOCK} )? (?! [\w-] | \.0 )""",
    ),
    _mask("<time>", "0:0", rf"0(?<![\w:.]0)(?<!(?:line|.row)[ ]0) {_CLOCK[1:]} (?! [\w:] | \.0 )"),
    _mask(
        "<time>",  # durations
        "0",
        rf"0(?<![\w.,]0)(?<!\w-0) {_REST_OF_DURATION} (?: ,?[ ]?(?:and[ ])?0{_REST_OF_DURATION} )*",
    ),
    _mask("<time>", "<time>", r"(?:[<>~≤≥][ ]?|[-+](?<!\w.))(?=<time>)<time>"),
    _mask(
        "<size>",
        "0",
        rf"""0(?<![\w.,]0)(?<!\w-0) {_REST_OF_AMOUNT} [ ]?
        (?: [kKMGTmgt]i?[bB] | B | (?:kilo|mega|giga|tera)?[bB]ytes? ) (?!\w)""",
    ),
)


def mask_word(word: str) -> str:
    """Mask addresses, ids and numbers in a word, the text between two spaces."""
    for replacement, pattern in _ADDRESSES:
        word = pattern.sub(replacement, word)
    if len(word) >= MIN_LONG_ID:
        word = _LONG_ID.sub("<n>", word)
    if "-" in word or "_" in word:
        word = _COMPOUND.sub(_mask_compound, word)
    return _NUMBER.sub("<n>", _MIXED.sub("<n>", word))


MIN_LONG_ID = 20  # characters
_ADDRESSES = [
    (replacement, re.compile(pattern, re.VERBOSE))
    for replacement, pattern in (
        (
            "<host>",  # IPv6
            r"""(?<![\w:.]) (?: (?:[0a-fA-F]{1,4}:){7}[0a-fA-F]{1,4}
            | (?=[0a-fA-F:.]{0,40}::) (?:[0a-fA-F]{0,4}:){2,7}+
              (?: 0{1,3}(?:\.0{1,3}){3} | [0a-fA-F]{1,4} )? )
            (?![\w:])""",
        ),
        (
            "<host>",
            r"(?<![\w.-])(?=[\w.-]{0,99}0) [\w-]+(?:\.[\w-]+){2,8}\.[a-z]{2}(?::0+)?(?![\w-]|\.\w)",
        ),
        ("<host>", r"(?<![\w.-]) 0{1,3}(?:\.0{1,3}){3} (?: :0+ )? (?! \w | [.:]0 )"),
        ("<id>", r"(?<!\w) (?: [0A-Fa-f]{2}[:-] ){5,}[0A-Fa-f]{2} (?!\w)"),  # MAC
    )
]
_LONG_ID = re.compile(
    r"(?<![\w~.+-])(?=[\w~.+-]{20})"
    r"(?=[^\W0]*+(?:(?<!0)0++[\w~+-]*?[^\W0][\w~.+-]*?){2}0)[\w~.+-]*\w",
    re.ASCII,
)
_COMPOUND = re.compile(r"(?<![A-Za-z0_-])[A-Za-z0]+(?:[-_]+[A-Za-z0]+)+(?![A-Za-z0_-])")
_PART = re.compile(r"[-_]+|[^-_]+")
_SUFFIX = re.compile(r"[bcdfghj-np-tv-xz]{4,5}|[A-Z]{1,2}")  # of pods; of devices
_MIXED = re.compile(
    r"""(?<![A-Za-z0])(?<!0[.,]) (?: 0x[0A-Fa-f]+ | [A-Za-z]{1,3}0+(?:\.0+)* | 0+[A-Za-z]{1,3}
    | (?=[0A-Fa-f]{8})(?: [A-Fa-f]+0+ | 0+[A-Fa-f]+ )
    | [A-Za-z0]*?(?: [A-Za-z]0+[A-Za-z] | 0[A-Za-z]+0 )[A-Za-z0]* ) (?![A-Za-z0])""",
    re.VERBOSE,
)
_NUMBER = re.compile(
    r"(?: [-+−](?<!\w.) | (?<=_)- )? 0+(?:[.,:/]0+)* (?: [eE][-+]?0+\b )?", re.VERBOSE
)


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
