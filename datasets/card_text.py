"""A dataset card as Markdown: from the card's data, and from nothing else."""

from __future__ import annotations

from datumrl.datasets import measures
from datumrl.datasets.dataset_card import NAME, Card
from datumrl.datasets.markdown import bullets, plain, table

_ORDER = {"fail": 0, "warn": 1, "pass": 2, "not applicable": 3}


def render(card: Card) -> str:
    """Return the card as Markdown; text that came from elsewhere is made inert."""
    found, facts = card.statistics, card.facts
    environment = f" of {plain(facts.environment)}" if facts.environment else ""
    sections = [
        f"# {plain(card.id)}",
        f"{found.rows:,} transitions in {found.episodes:,} episodes{environment}. "
        f"Audit: {card.verdict}. All numbers, and those behind plots, are in `{NAME}`.",
        _what_it_is(card),
        _measures(card),
        "## What to know of the numbers\n\n"
        + bullets([plain(note) for note in [*measures.notes(found), *card.pictures.notes]]),
        _audit(card),
        _known_errata(card),
        _recipe(card),
        _source(card),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def facts(card: Card) -> list[tuple[str, str]]:
    """Return what is known of a dataset without looking into it, as (name, text)."""
    known = card.facts
    rows = [
        ("environment", known.environment or "not known"),
        ("time limit", f"{known.time_limit:,} steps" if known.time_limit else "none, or not known"),
        ("observations", known.observations),
        ("actions", known.actions),
    ]
    if known.environment_note:
        rows.insert(1, ("of the environment", known.environment_note))
    if known.reference is not None:
        low, high = known.reference.minimum, known.reference.maximum
        rows.append(("scores 0 and 100", f"returns {low:g} and {high:g}; {known.reference.origin}"))
    if known.returns_note:
        rows.append(("returns", known.returns_note))
    if card.statistics.sha256:
        rows.append(("sha256", card.statistics.sha256))
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    rows.append(("measured with", f"{versions}; seed {card.pictures.seed}"))
    return rows


def ordered_audit(card: Card) -> list[tuple[str, str, str, str]]:
    """Return (verdict, check, summary, remedy), what is wrong first."""
    listed = sorted(card.audit, key=lambda each: _ORDER[each.verdict])
    return [
        (
            f"{each.verdict}, known erratum" if each.known_erratum is not None else each.verdict,
            each.check,
            each.summary,
            each.remedy if each.verdict in ("fail", "warn") else "",
        )
        for each in listed
    ]


def _what_it_is(card: Card) -> str:
    rows = [(name, plain(text)) for name, text in facts(card)]
    return f"## What it is\n\n{table(('', ''), rows)}"


def _measures(card: Card) -> str:
    rows = []
    for title, values in measures.sections(card.statistics):
        rows += [(f"**{title}**", "")] if title else []
        rows += [(plain(label.strip()), plain(value)) for label, value in values]
    return f"## Measures\n\n{table(('measure', 'value'), rows)}"


def _audit(card: Card) -> str:
    if not card.audit:
        return ""
    rows = [
        (verdict, plain(check), "; ".join(filter(None, (plain(summary), plain(remedy)))))
        for verdict, check, summary, remedy in ordered_audit(card)
    ]
    return f"## Audit\n\n{table(('verdict', 'check', 'what was found'), rows)}"


def _known_errata(card: Card) -> str:
    errata = [plain(each) for each in card.facts.errata]
    return f"## Known errata\n\n{bullets(errata)}" if errata else ""


def _recipe(card: Card) -> str:
    rows = [(plain(name), plain(text)) for name, text in card.recipe]
    return f"## How it was made\n\n{table(('', ''), rows)}" if rows else ""


def _source(card: Card) -> str:
    known = card.facts
    said = [f"Licence: {plain(known.licence)}." if known.licence else ""]
    said += [plain(text) for text in (known.source, known.citation)]
    text = "\n\n".join(filter(None, said))
    if known.bibtex:
        text += f"\n\n```bibtex\n{known.bibtex.replace('```', '')}\n```"
    return f"## Source\n\n{text}" if text.strip() else ""
