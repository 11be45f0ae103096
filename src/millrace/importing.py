"""Importing the user's own modules. Owns the sentence that tells why one cannot be imported, and where in its code."""

from __future__ import annotations

from pathlib import Path

__all__ = ["import_failure"]

_OURS = f"{Path(__file__).parent}/"


def import_failure(error: Exception) -> str:
    """Say what an import raised and where: the last line of the user's code that was reached.

    Importing runs the user's code, so the error may be any. A `SyntaxError` tells its place itself.

    >>> import_failure(ImportError("no module named 'nope'"))
    "ImportError: no module named 'nope'"
    """
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {_short(error.filename)}:{error.lineno}"
    else:
        step = error.__traceback__
        while step is not None:
            file = step.tb_frame.f_code.co_filename
            if not file.startswith(("<", _OURS)) and "importlib" not in file:
                place = f" at {_short(file)}:{step.tb_lineno}"
            step = step.tb_next
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}{f': {told}' if told else ''}{place}"


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
