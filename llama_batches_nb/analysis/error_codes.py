"""Numbers in error messages that say what went wrong: HTTP statuses, exit codes, ``ORA-00942``."""

from __future__ import annotations

import re

# Digits of codes are written as noncharacters of Unicode until the other digits are masked.
_HIDE = {ord(str(digit)): 0xFDD0 + digit for digit in range(10)}
_SHOW = {0xFDD0 + digit: str(digit) for digit in range(10)}

_WORDS = ("code", "status", "err", "exit", "http", "signal", "hresult", "sqlstate")
_VERBS = ("returned", "answered", "respon", "replied", "received", "got", "://", "<url>")
_REASONS = (
    *("Bad", "Unauthorized", "Payment", "Forbidden", "Not", "Method", "Request", "Conflict"),
    *("Gone", "Payload", "Unprocessable", "Too", "Internal", "Service", "Gateway", "Client"),
    *("Server",),
)
_COUNTED = "(?:page|file|document|time|row|line|field|attempt|record|item|table|job|warning|error)"

# Searched in lower case. Patterns that start with letters or digits are found faster.
_AFTER_WORD = re.compile(
    rf"""(?: code(?<![a-z]code)(?<!bar[ ]code)(?<!postal[ ]code)(?<!zip[ ]code)
    | return[ _-]?code | response[ _-]?code | result[ _-]?code | reason[ _-]?code
    | status(?:[ ]of)? | errno
    | error | exit(?:ed)? | http(?:/(?:[\d.]+|<n>))?+ | signal | hresult | sqlstate )
    (?: [ _-]?(?: code | status | with | number | no\. | error )){{0,2}}
    ["'`]?[ ]?[:=\#]?[ ]?["'`(\[]?
    (-?(?: 0x[0-9a-f]{{1,16}} | [a-z]{{0,10}}[-_]?\d{{1,6}} | \d\d[a-z]\d\d ))
    (?! [\w%] | [-.,:/]\w | [ ](?: of | {_COUNTED}s? )\b )""",
    re.VERBOSE,
)
_STATUS = re.compile(
    rf"""([1-5]\d\d)(?<![\w.,-]\d\d\d)
    (?= [ ]*(?: $ | [.,;:)\]"'}}](?!\w) )
      | [ ](?: after | for | from | on | to | when | while | in | and | but | instead )\b
      | [ ](?:{"|".join(_REASONS)})\b )""",
    re.VERBOSE,
)
_BEFORE_STATUS = re.compile(
    r"""(?: returned | answered | responded | response | replied | received | got | <url>
    | ://\S{1,300} )
    (?:[ ]with)?(?:[ ]an?)? :?[ ]["'(]? $""",
    re.VERBOSE,
)
_VENDOR = re.compile(
    r"((?:ORA|TNS|PLS|DPY|DPI)(?<!\w...)-\d{4,5}|(?:ERR|ERROR)[-_]\d{2,6}|E(?<!\wE)\d{3,5})"
    r"(?!\w|[-.]\w)"
)


def hide_codes(text: str, zeros: str) -> str:
    """Return the text with the digits of its codes written so that no mask finds them.

    `zeros` is the text with zeros for all digits.
    """
    lowered = zeros.lower()
    if _contains(lowered, _WORDS) and len(lowered) == len(text):
        for match in _AFTER_WORD.finditer(text.lower()):
            text = _hide(text, *match.span(1))
    if "000" in zeros and (_contains(zeros, _VERBS) or _contains(zeros, _REASONS)):
        for match in _STATUS.finditer(text):
            if _is_status(match):
                text = _hide(text, *match.span(1))
    if "-0000" in zeros or "E000" in zeros or "ERR" in zeros:
        for match in _VENDOR.finditer(text):
            text = _hide(text, *match.span(1))
    return text


def _contains(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110  # three times as fast as any()
        if word in text:
            return True
    return False


def _is_status(match: re.Match[str]) -> bool:
    """Tell whether a number follows a word such as ``returned``, or precedes a reason."""
    text, start = match.string, match.start()
    is_before_reason = text[match.end() + 1 : match.end() + 2].isupper()
    if is_before_reason and match[0] >= "400":
        return True
    return bool(_BEFORE_STATUS.search(text, max(0, start - 320), start))


def show_codes(text: str) -> str:
    """Return the text with the digits that `hide_codes` had hidden."""
    return text if text.isascii() else text.translate(_SHOW)


def _hide(text: str, start: int, end: int) -> str:
    return text[:start] + text[start:end].translate(_HIDE) + text[end:]
