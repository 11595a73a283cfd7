"""Cold items among themselves, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.report import words
from antiphon.report.dots import DotTable, difference_table, figure_table
from antiphon.report.reading import MAIN_METRICS, Difference, Figure, Reading

__all__ = ["ColdItems", "cold_items", "cold_tables"]


@dataclass(frozen=True)
class ColdItems:
    """What became of the part `cold`.

    Attributes:
        sizes: how many items, queries and users, in words.
        feature: the item feature that says whose an item is; None where the log has none.
        names: of the rankers, as people read them, by their names in the JSON.
        figures: by ranker and metric.
        differences: the model less the other, by ranker and metric.
    """

    sizes: str
    feature: str | None
    names: Mapping[str, str]
    figures: Mapping[str, Mapping[str, Figure]]
    differences: Mapping[str, Mapping[str, Difference]]


def cold_items(reading: Reading) -> ColdItems | None:
    """The part `cold`; None where it wasn't measured."""
    part: Mapping[str, Any] | None = reading.part("cold")
    if not part:
        return None
    models, compared = part["models"], part["comparisons"]
    return ColdItems(
        f"{words.plural(part['items'], 'candidate')} that nobody had played, and "
        f"{words.plural(part['queries'], 'query', 'queries')} of "
        f"{words.plural(part['users'], 'user')} who then played one",
        part["feature"],
        {name: _name(name, part["feature"]) for name in models},
        {
            name: {metric: Figure.of(cells.get(metric)) for metric in MAIN_METRICS}
            for name, cells in models.items()
        },
        {
            name: {m: Difference.of(cells.get(m), part["users"]) for m in MAIN_METRICS}
            for name, cells in compared.items()
        },
    )


def cold_tables(found: ColdItems | None) -> list[tuple[str, DotTable]]:
    """Figures and differences by metric, each with its title."""
    if found is None:
        return []
    tables = []
    for metric in MAIN_METRICS:
        shown = words.metric(metric)
        figures = {found.names[name]: own[metric] for name, own in found.figures.items()}
        heads = ("Cold items ordered by", "Figure and 95% interval", shown)
        caption = f"{shown} among cold items"
        ours = [found.names[name] for name in found.names if name == "antiphon"]
        tables.append((shown, figure_table(caption, heads, figures, {}, ours)))
        lifts = {
            f"over {found.names[n].lower()}": own[metric] for n, own in found.differences.items()
        }
        heads = ("The model", "Difference and 95% interval", "Difference")
        caption = f"Difference of {shown} among cold items"
        tables.append(
            (f"{shown}, the model less each", difference_table(caption, heads, lifts, {}))
        )
    return tables


def _name(name: str, feature: str | None) -> str:
    if name == "most_popular_artist":
        return f"Most popular {feature}"
    return "Random order" if name == "random" else words.model(name)
