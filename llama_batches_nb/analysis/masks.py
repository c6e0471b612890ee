"""Regular expressions of what is masked in a text whose digits are zeros.

They are bounded (``{0,80}``) or possessive (``*+``), so that their time grows linearly with the
length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_batches_nb.analysis.error_codes import contains_any
from llama_batches_nb.analysis.file_names import ENDING


@dataclass(frozen=True)
class Mask:
    """A replacement, what it replaces, and hints, of which any match has one in it."""

    replacement: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]

    def apply(self, text: str) -> str:
        """Return the text with its matches replaced."""
        if contains_any(text, self.hints):
            return self.pattern.sub(self.replacement, text)
        return text


class MaskFromWord(Mask):
    """A mask whose matches start in the word that has the first hint in them."""

    def apply(self, text: str) -> str:
        """Return the text with its matches replaced, searched from words that have the hint."""
        hint = self.hints[0]
        at = text.find(hint)
        if at < 0:
            return text
        parts, done = [], 0
        while at >= 0:
            match = self.pattern.search(text, text.rfind(" ", done, at) + 1 or done)
            if not match:
                break
            parts += [text[done : match.start()], self.replacement]
            done = match.end()
            at = text.find(hint, done)
        return "".join([*parts, text[done:]])


def _mask(replacement: str, hints: str | tuple[str, ...], pattern: str) -> Mask:
    hints = (hints,) if isinstance(hints, str) else hints
    return Mask(replacement, hints, re.compile(pattern, re.VERBOSE))


def _mask_from_word(replacement: str, hint: str, pattern: str) -> Mask:
    return MaskFromWord(replacement, (hint,), re.compile(pattern, re.VERBOSE))


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
    _mask_from_word("<url>", "://", r"""[A-Za-z][\w+.-]{0,20}://[^\s'"<>]*[^\s'"<>.,;:!?)\]}]"""),
    _mask_from_word("<email>", "@", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    _mask_from_word(
        "<type>",  # of a file, as in MIME
        "/",
        r"""(?<![\w/.-])(?:application|audio|font|image|message|model|multipart|text|video)
        /[A-Za-z0][\w.+-]*\w(?:;[ ]?charset=[\w-]+)?(?![\w/])""",
    ),
)
PATHS = (
    _mask("<path>", "\\", rf"(?: \b[A-Za-z]:[\\/] | \\\\ ) {_WINDOWS_FOLDERS} {_FILE_NAME}"),
    _mask_from_word(
        "<path>",  # on Windows, with spaces in folders; absolute or ./relative; a/b/c
        "/",
        rf"""\b[A-Za-z]:/ {_WINDOWS_FOLDERS} {_FILE_NAME}
        | (?<![\w<>/]) [~.]{{0,2}}/(?=[^\s/]) (?: [^\s/"<>|:*?,;]+/ )*+ {_FILE_NAME} {_QUERY}
        | \b[^\W\d][\w.-]{{0,80}}/ (?: [^\s/"<>|:*?,;]+/ )++ {_FILE_NAME} {_QUERY}""",
    ),
)
DATES_IN_WORDS = _mask(
    "<time>",
    tuple(_MONTH[3:-1].split("|")),
    rf"""(?: \b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?[ ] )?
    (?: \b{_MONTH_NAME}[ ]{{1,2}}{_DAY}\b(?!:) (?: ,?[ ]0000\b(?!:) )?
      | \b{_DAY}[ -]{_MONTH_NAME},?[ -]00(?:00)?\b )
    (?: ,?[ ](?:at[ ])?{_CLOCK} )? (?: [ ][A-Z]{{3,4}}\b(?=[ ]0000) )? (?: [ ]0000\b )?""",
)
HOST_ENDING = re.compile(rf"\.{_DOMAIN}(?![\w-]|\.\w)")
HOSTS = _mask_from_word(
    "<host>",
    ".",
    rf"""(?<![\w.-]) [A-Za-z0_][\w-]{{0,62}}+ (?: \.[\w-]{{1,63}}+ ){{0,8}}? \.{_DOMAIN}
        (?: :0+ )? (?! [\w-] | \.\w )""",
)
NAMES_AND_IDS = (
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
        ("bat-", "cfg-", "dfl-", "dir-", "ejb-", "org-", "pjb-", "prj-"),
        r"\b(?:bat|cfg|dfl|dir|ejb|org|pjb|prj)-(?=[\w-]{0,40}[0A-Z])\w[\w-]*",
    ),
)
_TIME_OR_SIZE = re.compile(  # a date; a time; a duration; a size
    rf"""0(?<![\w.]0) (?:
    (?<!-0) (?: 000([-/.])0{{1,2}}\1 0{{1,2}} | 0?([-/.])0{{1,2}}\2 0000 )
        (?: [T :]{_CLOCK} )? (?! [\w-] | \.0 )
    | (?<!:0)(?<!(?:line|.row)[ ]0) {_CLOCK[1:]} (?! [\w:] | \.0 )
    | (?<!,0)(?<!\w-0) {_REST_OF_DURATION} (?: ,?[ ]?(?:and[ ])?0{_REST_OF_DURATION} )*
    | (?P<size> (?<!,0)(?<!\w-0) {_REST_OF_AMOUNT} [ ]?
        (?: [kKMGTmgt]i?[bB] | B | (?:kilo|mega|giga|tera)?[bB]ytes? ) (?!\w) ) )""",
    re.VERBOSE,
)
_LIMIT = _mask("<time>", "<time>", r"(?:[<>~≤≥][ ]?|[-+](?<!\w.))(?=<time>)<time>")


def mask_times_and_sizes(text: str) -> str:
    """Replace times, durations and sizes, with a sign before a time."""
    text = _TIME_OR_SIZE.sub(_name_time_or_size, text)
    return _LIMIT.apply(text)


def _name_time_or_size(match: re.Match[str]) -> str:
    return "<size>" if match.lastgroup == "size" else "<time>"
