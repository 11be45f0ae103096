"""Names that come near to one that is not there. Pure, and slow enough to be loaded only when something is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_SHOWN = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names up to three near names, or the empty text.

    A name's last part counts too, so that `add` finds `tasks.add`.

    >>> did_you_mean("worke", ["worker", "workers", "stats"])
    "; did you mean 'worker' or 'workers'?"
    >>> did_you_mean("add", ["tasks.add", "tasks.report"])
    "; did you mean 'tasks.add'?"
    >>> did_you_mean("xyz", ["jobs"])
    ''
    """
    names = sorted(known)
    near = [each for each in names if name and each.rpartition(".")[2] == name.rpartition(".")[2]]
    near += get_close_matches(name, names, n=_SHOWN)
    quoted = [repr(each) for each in dict.fromkeys(near)][:_SHOWN]
    if not quoted:
        return ""
    return f"; did you mean {', '.join(quoted[:-1])}{' or ' if quoted[1:] else ''}{quoted[-1]}?"
