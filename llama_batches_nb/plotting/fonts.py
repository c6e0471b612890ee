"""Names in any script: which installed fonts have their characters."""

from __future__ import annotations

from functools import cache, lru_cache

MISSING = "▯"
_REGULAR = (400, "normal", "regular")


def replace_missing_glyphs(text: str) -> str:
    """Return text with a box for each character that no font here can show."""
    lacking = _missing_glyphs(text)
    if not lacking:
        return text
    found = frozenset().union(*(_characters(path) for _, path in _fallbacks(lacking)))
    return "".join(MISSING if ord(c) in lacking - found else c for c in text)


def families(text: str) -> list[str]:
    """Return the font families that together have the characters of a text."""
    import matplotlib as mpl

    return [*mpl.rcParams["font.family"], *(name for name, _ in _fallbacks(_missing_glyphs(text)))]


def _missing_glyphs(text: str) -> frozenset[int]:
    """Return the characters that the reader's own font lacks."""
    if text.isascii():
        return frozenset()
    from matplotlib.font_manager import FontProperties, findfont

    return frozenset(map(ord, text)) - _characters(findfont(FontProperties())) - {ord("\n")}


@lru_cache(maxsize=64)
def _fallbacks(lacking: frozenset[int]) -> tuple[tuple[str, str], ...]:
    """Return the name and path of installed fonts that have these characters, or some of them."""
    from matplotlib.font_manager import fontManager

    chosen = []
    regular = [f for f in fontManager.ttflist if f.style == "normal" and f.weight in _REGULAR]
    for font in sorted(regular, key=lambda font: font.name):
        if not lacking:
            break
        if "Last Resort" not in font.name and lacking & _characters(font.fname):
            chosen.append((font.name, font.fname))
            lacking -= _characters(font.fname)
    return tuple(chosen)


@cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(path).get_charmap())
