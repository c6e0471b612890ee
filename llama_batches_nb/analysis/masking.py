"""Mask the variable parts of error messages."""

from __future__ import annotations

import re

NO_MESSAGE = "(no message)"

_ENDING = (
    r"\.(?i:pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|txt|md|csv|tsv|jsonl?|xml|ya?ml|html?|epub|eml|msg"
    r"|jpe?g|png|gif|tiff?|webp|heic|bmp|svg|mp[34]|wav|zip|gz|log)\b"
)

_FILE_NAME = rf"""(?: [^/\\"<>|:*?,;]{{0,80}}? {_ENDING} | [^\s/\\"<>|:*?,;]*\w )?"""

# The masks, in the order in which they are applied: the replacement, a quick test whether a message
# can contain a match, and the pattern. Patterns are possessive (`*+`) or bounded (`{0,80}`) where
# backtracking in a message of many kilobytes could take hours.
_MASKS = (
    (
        "<name>",  # the apostrophe of O'Neil is not a quotation mark
        r"""['"`“„«‘]""",
        r"""'(?<!\w').{0,300}?'(?!\w) | ‘.{0,300}?’(?!\w) | "[^"]*" | `[^`]*`
        | “[^”]{0,300}” | „[^“”]{0,300}[“”] | «[^»]{0,300}»""",
    ),
    ("<url>", "://", r"""\b[A-Za-z][\w+.-]{0,20}://[^\s'"<>]*[^\s'"<>.,;:!?)\]}]"""),
    (
        "<path>",  # Windows, with spaces in folders; absolute or ./relative; a/b/c
        r"[/\\]",
        rf"""(?: \b[A-Za-z]:[\\/] | \\\\ ) (?: [^/\\"<>|:*?,;]*[\\/] )*+ {_FILE_NAME}
        | (?<![\w<>/]) [~.]{{0,2}}/(?=[^\s/]) (?: [^\s/"<>|:*?,;]+/ )*+ {_FILE_NAME}
        | \b[^\W\d][\w.-]{{0,80}}/ (?: [^\s/"<>|:*?,;]+/ )++ {_FILE_NAME}""",
    ),
    ("<path>", r"\.[A-Za-z]", rf"""(?<![^\s(\[=:]) [^\s"<>(\[=:]+ {_ENDING}"""),
    (
        "<time>",
        r"\d-\d",
        r"\d{4}-\d\d-\d\d (?: [T ]\d\d:\d\d[\d:.]* (?: [ ]?(?: Z\b | UTC\b | [+-]\d\d:?\d\d ))? )?",
    ),
    (
        "<id>",
        "-",
        r"""\b(?:[a-z]{2,6}[-_])? [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
        | \b(?:bat|cfg|dfl|dir|ejb|org|pjb|prj)-(?=[\w-]{0,40}[\dA-Z])\w[\w-]*""",
    ),
    (
        "<size>",
        r"\d ?[kKMGTmgBb]",
        r"\d(?<!\d\d)(?<!\d[.,]\d)\d*+(?:[.,]\d++)*+ [ ]?(?: [kKMGTmgt]i?[bB] | B | [bB]ytes? )\b",
    ),
    (
        "<n>",  # hexadecimal digits, and words that alternate letters and digits
        r"\d[^\W\d]|[^\W\d]\d|[a-fA-F]{8}",
        r"""\b(?<!\d[.,])(?: 0x[0-9a-fA-F]+ | (?=\w{8})\d*[a-fA-F][0-9a-fA-F]*
        | (?=[^\W\d]*+\d) \w*(?: [^\W\d]\d+[^\W\d] | \d[^\W\d]+\d )\w* )\b""",
    ),
    ("<n>", r"\d", r"(?: [-+−](?<!\w.) )? \d+(?:[.,:/]\d+)* (?: [eE][-+]?\d+\b )?"),
)

_RULES = [
    (replacement, re.compile(hint), re.compile(pattern, re.VERBOSE))
    for replacement, hint, pattern in _MASKS
]

_LIST = re.compile(r"(<\w+>)(?:, \1)+")


def mask(message: str) -> str:
    """Return the pattern of a message: numbers, names, paths, URLs, times and ids are masked.

    Examples
    --------
    >>> from llama_batches_nb.analysis.masking import mask
    >>> mask("Timed out after 30 s on page 7 of 'lease (2).pdf'")
    'Timed out after <n> s on page <n> of <name>'
    """
    text = " ".join(message.split())
    for replacement, hint, pattern in _RULES:
        if hint.search(text):
            text = pattern.sub(replacement, text)
    return _LIST.sub(r"\1", text) or NO_MESSAGE
