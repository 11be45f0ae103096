"""Where in a cluster our keys are: all in one slot, so on one node, which any other one names. Owns that address."""

from __future__ import annotations

__all__ = ["Whereabouts"]


class Whereabouts:
    """The address of the node that has our keys.

    Attributes:
        address: Host and port; None is what the URL says.

    >>> whereabouts = Whereabouts()
    >>> whereabouts.found(("10.0.0.2", 6379))
    >>> whereabouts.address
    ('10.0.0.2', 6379)
    """

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address: tuple[str, int] | None = None

    def found(self, address: tuple[str, int]) -> None:
        """Go there from now on."""
        self.address = address

    def forget(self) -> None:
        """Ask who is named in the URL again: the node is gone."""
        self.address = None
