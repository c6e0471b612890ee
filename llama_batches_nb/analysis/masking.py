"""Mask the variable parts of error messages."""

from __future__ import annotations

import re

NO_MESSAGE = "(no message)"


_ENDING = (
    r"\.(?i:pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|txt|md|csv|tsv|jsonl?|xml|ya?ml|html?|epub|eml|msg"
    r"|jpe?g|png|gif|tiff?|webp|heic|bmp|svg|mp[34]|wav|zip|gz|log)\b"
)


_FILE_NAME = rf"""(?: [^/\\"<>|:*?,;]{{0,80}}? {_ENDING} | [^\s/\\"<>|:*?,;]*\w )?"""


# What is masked, in this order: the mark, a sign that a message may have such a thing (quickly
# looked for), and its form. Forms are possessive (`*+`) or bounded (`{0,80}`) where the search of a
# message of many kilobytes could take hours.
_MASKS = (
    (
        "<name>",  # the apostrophe of O'Neil neither opens nor closes
        r"""['"`“„«‘]""",
        r"""'(?<!\w').{0,300}?'(?!\w) | ‘.{0,300}?’(?!\w) | "[^"]*" | `[^`]*`
        | “[^”]{0,300}” | „[^“”]{0,300}[“”] | «[^»]{0,300}»""",
    ),
    ("<url>", "://", r"""\b[A-Za-z][\w+.-]{0,20}://[^\s'"<>]*[^\s'"<>.,;:!?)\]}]"""),
    (
        "<path>",  # of Windows, with spaces in folders; from the root or from here; a/b/c
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
        "<n>",  # hexadecimal digits, and what else has letters and digits by turns
        r"\d[^\W\d]|[^\W\d]\d|[a-fA-F]{8}",
        r"""\b(?<!\d[.,])(?: 0x[0-9a-fA-F]+ | (?=\w{8})\d*[a-fA-F][0-9a-fA-F]*
        | (?=[^\W\d]*+\d) \w*(?: [^\W\d]\d+[^\W\d] | \d[^\W\d]+\d )\w* )\b""",
    ),
    ("<n>", r"\d", r"(?: [-+−](?<!\w.) )? \d+(?:[.,:/]\d+)* (?: [eE][-+]?\d+\b )?"),
)


_RULES = [(mark, re.compile(sign), re.compile(form, re.VERBOSE)) for mark, sign, form in _MASKS]


_LIST = re.compile(r"(<\w+>)(?:, \1)+")


def mask(message: str) -> str:
    """Return what a message has in common with others of its kind.

    Examples
    --------
    >>> from llama_batches_nb.analysis.patterns import mask
    >>> mask("Timed out after 30 s on page 7 of 'lease (2).pdf'")
    'Timed out after <n> s on page <n> of <name>'
    """
    text = " ".join(message.split())
    for mark, sign, form in _RULES:
        if sign.search(text):
            text = form.sub(mark, text)
    return _LIST.sub(r"\1", text) or NO_MESSAGE
