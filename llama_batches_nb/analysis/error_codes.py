"""Numbers in error messages that say what went wrong: HTTP statuses, exit codes, ``ORA-00942``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# Digits of codes are written as noncharacters of Unicode until the other digits are masked.
_HIDE = {ord(str(digit)): 0xFDD0 + digit for digit in range(10)}
_SHOW = {0xFDD0 + digit: str(digit) for digit in range(10)}


class Code(NamedTuple):
    """Where a text has a code, and the first digits that make it one; empty if any do."""

    start: int
    end: int
    first_digits: str = ""


_WORDS = ("code", "status", "err", "exit", "http", "signal", "hresult", "sqlstate")
_RESULTS = ("rc=", "rc:", "rc ", "ret=", "ret:", "retval", "return value", "errorlevel")
_REASONS = (
    *("Bad", "Unauthorized", "Payment", "Forbidden", "Not", "Method", "Request", "Conflict"),
    *("Gone", "Payload", "Unprocessable", "Too", "Internal", "Service", "Gateway", "Client"),
    *("Server",),
)
_COUNTED = "(?:page|file|document|time|row|line|field|attempt|record|item|table|job|warning|error)"
_NOT_COUNTED = rf"(?! [\w%] | [-.,:/]\w | [ ](?: of | {_COUNTED}s? )\b )"

# All are searched in a text with zeros for digits; those with `_NOT_COUNTED` in lower case.
# Patterns that start with letters or digits are found faster.
_AFTER_WORD = re.compile(
    rf"""(?: code(?<!bar[ ]code)(?<!barcode)(?<!postal[ ]code)(?<!zip[ ]code)(?<!zipcode)
    | status(?:[ ]of)? | errno
    | error | exit(?:ed)? | http(?:/(?:[0.]+|<n>))?+ | signal | hresult | sqlstate )
    (?: [ _-]?(?: code | status | with | number | no\. | error )){{0,2}}
    ["'`]?[ ]?[:=\#]?[ ]?["'`(\[]?
    (-?(?: 0x[0a-f]{{1,16}} | [a-z]{{0,10}}[-_]?0{{1,6}} | 00[a-z]00 )) {_NOT_COUNTED}""",
    re.VERBOSE,
)
_AFTER_RESULT = re.compile(  # of a program or a function
    rf"""(?: rc(?<!\wrc) | ret(?<!\wret) | retval | return[ ]value | errorlevel )
    (?: [ ]?[:=][ ]? | [ ](?:of[ ])? ) (-?0{{1,6}}) {_NOT_COUNTED}""",
    re.VERBOSE,
)
_AFTER_FAILURE = re.compile(
    rf"fail(?:ed|ure)? (?:[ ]with)? :? [ ] [\"'(\[]? (000) {_NOT_COUNTED}", re.VERBOSE
)
_COUNTED_BEFORE = re.compile(rf"{_COUNTED}s $")  # as in "pages failed: 412"
_STATUS = re.compile(
    rf"""000(?<![\w.,-]000)
    (?= [ ]*(?: $ | [.,;:)\]"'}}](?!\w) )
      | [ ](?: after | for | from | on | to | when | while | in | and | but | instead )\b
      | [ ](?:{"|".join(_REASONS)})\b )""",
    re.VERBOSE,
)
_BEFORE_STATUS = re.compile(
    r"""(?: returned | answered | responded | response | replied | received | got | sa(?:id|ys)
    | <url> | ://\S{1,300} )
    (?:[ ]with)?(?:[ ]an?)? :?[ ]["'(]? $""",
    re.VERBOSE | re.IGNORECASE,
)
_LEADING_STATUS = re.compile(r"(000): ")
_IN_PARENTHESES = re.compile(  # curl: (6) Could not; (13, 'Permission denied')
    r"""\((?: (?<=\w:[ ]\()(0{1,5})\)(?=[ ]\w) | (0{1,5}),[ ]?["'] )""", re.VERBOSE
)
_VENDORS = ("E000", "ERR", "ORA-", "TNS-", "PLS-", "DPY-", "DPI-")
_VENDOR = re.compile(
    r"((?:ORA|TNS|PLS|DPY|DPI)(?<!\w...)-0{4,5}|(?:ERR|ERROR)[-_]0{2,6}|E(?<!\wE)0{3,5})"
    r"(?!\w|[-.]\w)"
)
_BEFORE_TEXT = re.compile(  # TS2304: Cannot find; SQL0204N
    r"[A-Z]{2,8}0{3,5}(?:(?=:[ ])|[A-Z](?![\w.-]))"
)
_AFTER_CAPITAL = re.compile(r"000(?<=[A-Z]000)")
_FIRST = re.compile(r"(?:^|: |[(\[])$")
_ANY_STATUS = "12345"
_ERROR_STATUS = "45"


def find_codes(zeros: str) -> list[Code]:
    """Return where a text with zeros for digits may have codes."""
    codes: list[Code] = []
    lowered = zeros.lower()
    if len(lowered) == len(zeros):
        codes += _codes_after_words(lowered)
        if contains_any(lowered, _RESULTS):
            codes += [Code(*match.span(1)) for match in _AFTER_RESULT.finditer(lowered)]
        if "000" in zeros and "fail" in lowered:
            codes += _codes_after_failure(lowered)
    if "000" in zeros:
        codes += _statuses(zeros)
        codes += _named_codes(zeros)
    if "(0" in zeros:
        codes += [
            Code(*match.span(match.lastindex or 0)) for match in _IN_PARENTHESES.finditer(zeros)
        ]
    return codes


def hide_codes(zeros: str, text: str, codes: list[Code]) -> str:
    """Return `zeros` with the digits that the codes have in `text`, so that no mask finds them."""
    for start, end, first_digits in codes:
        if not first_digits or text[start] in first_digits:
            zeros = zeros[:start] + _hide(text[start:end]) + zeros[end:]
    return zeros


@lru_cache(maxsize=10_000)
def _hide(code: str) -> str:
    return code.translate(_HIDE)


def show_codes(text: str) -> str:
    """Return the text with the digits that `hide_codes` had hidden."""
    return text if text.isascii() else text.translate(_SHOW)


def contains_any(text: str, words: tuple[str, ...]) -> bool:
    """Return whether a text has one of some words in it."""
    for word in words:  # noqa: SIM110  # three times as fast as any()
        if word in text:
            return True
    return False


def _codes_after_words(lowered: str) -> list[Code]:
    """Return the codes after ``status``, ``exit`` and the like, which `str.find` finds faster."""
    codes = []
    for word in _WORDS:
        at = lowered.find(word)
        while at >= 0:
            if match := _AFTER_WORD.match(lowered, at):
                codes.append(Code(*match.span(1)))
            at = lowered.find(word, at + len(word))
    return codes


def _codes_after_failure(lowered: str) -> list[Code]:
    """Return the HTTP statuses after ``failed``, as in ``Request failed: 429``."""
    return [
        Code(*match.span(1), _ERROR_STATUS)
        for match in _AFTER_FAILURE.finditer(lowered)
        if not _COUNTED_BEFORE.search(lowered, max(0, match.start() - 12), match.start())
    ]


def _statuses(zeros: str) -> list[Code]:
    """Return the HTTP statuses after a word such as ``returned``, or before their reason."""
    codes = []
    if match := _LEADING_STATUS.match(zeros):
        codes.append(Code(*match.span(1), _ERROR_STATUS))
    for match in _STATUS.finditer(zeros):
        start = match.start()
        has_space_before = " " in zeros[max(0, start - 2) : start]
        if has_space_before and _BEFORE_STATUS.search(zeros, max(0, start - 320), start):
            codes.append(Code(*match.span(), _ANY_STATUS))
        elif zeros[match.end() + 1 : match.end() + 2].isupper():
            codes.append(Code(*match.span(), _ERROR_STATUS))
    return codes


def _named_codes(zeros: str) -> list[Code]:
    """Return the codes of vendors, such as ``ORA-00942``, ``E1101`` and ``TS2304:``."""
    codes = []
    if _AFTER_CAPITAL.search(zeros):
        codes = [
            Code(*match.span())
            for match in _BEFORE_TEXT.finditer(zeros)
            if _FIRST.search(zeros, max(0, match.start() - 2), match.start())
        ]
    if contains_any(zeros, _VENDORS):
        codes += [Code(*match.span(1)) for match in _VENDOR.finditer(zeros)]
    return codes
