"""Owns one line of a result: our figure beside the peer's, the target, and whether it is reached."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = ("measure", "unit", "millrace", "peer", "peer's", "ratio", "target", "")


@dataclass(frozen=True)
class Target:
    """What must be reached: of the ratio to the peer (`times`), or of our figure itself."""

    limit: float
    times: bool
    at_least: bool

    def reached(self, figure: float) -> bool:
        """Say whether a figure keeps to it."""
        return figure >= self.limit if self.at_least else figure <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{'x' if self.times else ''}"


def at_least_times(limit: float) -> Target:
    """So many times the peer's figure, or more."""
    return Target(limit, times=True, at_least=True)


def at_most_times(limit: float) -> Target:
    """So many times the peer's figure, or less."""
    return Target(limit, times=True, at_least=False)


def at_most(limit: float) -> Target:
    """This figure or less."""
    return Target(limit, times=False, at_least=False)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measure with the figure of every round; a figure or the peer may be absent, and the target too."""

    measure: str
    unit: str
    ours: Sequence[float] = field(default=())
    peer: str = ""
    peers: Sequence[float] = field(default=())
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' own ratios: what drifts between rounds cancels out within each."""
        if not self.ours or not self.peers:
            return None
        return statistics.median(mine / theirs for mine, theirs in zip(self.ours, self.peers, strict=True))

    @property
    def verdict(self) -> str:
        """Reached, not reached, or nothing where there is no target or no figure."""
        if self.target is None:
            return ""
        figure = self.ratio if self.target.times else median(self.ours)
        if figure is None:
            return "not measured"
        return "reached" if self.target.reached(figure) else "NOT REACHED"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of its table line."""
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}x"
        target = "" if self.target is None else str(self.target)
        figures = (shown(median(self.ours)), self.peer, shown(median(self.peers)))
        return (self.measure, self.unit, *figures, ratio, target, self.verdict)

    def record(self) -> dict[str, object]:
        """Return all of it as plain values."""
        target = None if self.target is None else str(self.target)
        return {**asdict(self), "target": target, "ratio": self.ratio, "verdict": self.verdict}


def median(figures: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return statistics.median(figures) if figures else None


def shown(figure: float | None) -> str:
    """Return a figure as a reader wants it: four digits, thousands apart."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of aligned columns, which is Markdown too."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])
