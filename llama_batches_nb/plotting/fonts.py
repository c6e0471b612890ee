"""Find installed fonts for the characters of a text."""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache, lru_cache

any_character = ContextVar("any_character", default=False)  # whether a page provides the fonts
MISSING_GLYPH = "▯"
CONTROL_CHARS = frozenset(range(32))
_REGULAR_WEIGHTS = (400, "normal", "regular")


def replace_missing_glyphs(text: str) -> str:
    """Replace each character that no installed font has by a box."""
    missing = _missing_glyphs(text)
    if not missing:
        return text
    available = frozenset().union(*(_characters(path) for _, path in _fallback_fonts(missing)))
    available -= CONTROL_CHARS  # some fonts list them, but draw nothing
    return "".join(MISSING_GLYPH if ord(c) in missing - available else c for c in text)


def font_families(text: str) -> list[str]:
    """Return font families that together have the characters of a text."""
    import matplotlib as mpl

    fallbacks = _fallback_fonts(_missing_glyphs(text))
    return [*mpl.rcParams["font.family"], *(name for name, _ in fallbacks)]


def _missing_glyphs(text: str) -> frozenset[int]:
    """Return the characters that the default font does not have."""
    if any_character.get() or (text.isascii() and text.replace("\n", "").isprintable()):
        return frozenset()
    from matplotlib.font_manager import FontProperties, findfont

    return frozenset(map(ord, text)) - _characters(findfont(FontProperties())) - {ord("\n")}


@lru_cache(maxsize=64)
def _fallback_fonts(missing: frozenset[int]) -> tuple[tuple[str, str], ...]:
    """Return the names and paths of installed fonts that have some of these characters."""
    from matplotlib.font_manager import fontManager

    chosen = []
    fonts = [f for f in fontManager.ttflist if f.style == "normal" and f.weight in _REGULAR_WEIGHTS]
    for font in sorted(fonts, key=lambda font: font.name):
        if not missing:
            break
        if "Last Resort" not in font.name and missing & _characters(font.fname):
            chosen.append((font.name, font.fname))
            missing -= _characters(font.fname)
    return tuple(chosen)


@cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(path).get_charmap())
