"""Names that come from records are untrusted: made safe here for file names and for display."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata

from datumrl.algorithms import registry

_LONGEST_SLUG = 48
_LONGEST_TEXT = 2_000
# Cc: control characters; Cf: invisible ones, among them those that turn the writing direction;
# Cs: halves of surrogate pairs, which cannot be encoded; Zl, Zp: line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_OF_NEORL = {"bcq", "bremen", "crr", "mopo", "plas"}  # methods of its files that have no trainer
# Cyrillic and Greek letters that look Latin, as capitals (В, Т, Ν) or small (а, р): both cases are
# folded, so that case does not count in these scripts either.
_LOOKS_LATIN = str.maketrans(
    {
        **dict(zip("авсԁеһніјкӏморԛѕтѵѡԝхуү", "abcdehhijklmopqstvwwxyy", strict=True)),
        **dict(zip("αβεζηιϳκμνορτυχ", "abezhijkmnoptyx", strict=True)),
    }
)
_FORMULA = ("=", "+", "-", "@")


def slug(text: str, *more: str) -> str:
    """Return a file name and anchor for any text: lower-case letters, digits and hyphens only.

    It ends in a digest of the text and of whatever ``more`` sets it apart, so that different names
    stay different.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_SLUG].strip("-")
    mark = hashlib.sha256(json.dumps([text, *more]).encode()).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else mark


def shown(text: str) -> str:
    """Return the text with control and invisible characters as visible escapes, clipped if huge."""
    seen = "".join(
        f"\\u{ord(letter):04x}" if unicodedata.category(letter) in _UNSEEN else letter
        for letter in text[:_LONGEST_TEXT]
    )
    return seen + "…" if len(text) > _LONGEST_TEXT else seen


def alike(name: str) -> str:
    """Return what two names have in common that a reader would take for one.

    Case, spaces, compatibility forms (full-width letters and the like), and whether a letter is
    Latin or a Cyrillic or Greek one that looks so, do not count.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(plain.translate(_LOOKS_LATIN).split())


def method(name: str) -> str:
    """Return an algorithm's name as papers write it, if it is one of ours or of NeoRL's files."""
    plain, _, target = name.partition("-target-")
    written = plain.upper() if plain in _OF_NEORL else plain
    title = registry.ALGORITHMS.get(plain, [written])[0]
    return f"{title}, target {target}" if target else title


@functools.lru_cache(10_000)
def shown_as(name: str) -> str:
    """Return what names have in common that are shown alike: ``td3_bc`` is shown as ``TD3+BC``."""
    return alike(method(alike(name)))


def spreadsheet_text(text: str) -> str:
    """Return text for a CSV field: shown plainly, and never taken for a formula."""
    plain = shown(text)
    return f"'{plain}" if plain.startswith(_FORMULA) else plain
