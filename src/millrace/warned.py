"""Warnings at the caller's line. Owns finding that line; called only when something is not well, so it may be slow."""

from __future__ import annotations

import inspect
import warnings

__all__ = ["warn_caller"]

_OURS = __name__.partition(".")[0]


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the nearest line outside this package.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     warn_caller("mind the gap", UserWarning)
    >>> str(seen[0].message)
    'mind the gap'
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _OURS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
