"""The SQL of this store with the names of its schema filled in. Owns what may stand in a template; runs nothing.

A template is a constant of the verb that runs it. In it stand:

- `{s}`: the schema, quoted. Every table is written `{s}.job`: nothing hangs on a search path, which poolers mix up.
- `{now}`: the time of the statement in microseconds, the caller's where one is given and else the server's. A template
  with it is given `now` by the session; no verb puts it among its arguments.
- `{light}`: a condition that is always true, and which, with `?claim_commit=off`, lets the commit of this very
  transaction go on without waiting for the disk. For claims, leases and progress only.
- `%(name)b`: an argument, sent in binary. A plain percent sign is written `%%`.
"""

from __future__ import annotations

__all__ = ["NOW", "SERVER_NOW", "Texts", "quoted"]

# `statement_timestamp()`, for `now()` is the transaction's start, minutes old in a caller's long one, and
# `clock_timestamp()` is volatile: no index condition could be made of it.
SERVER_NOW = "(extract(epoch from statement_timestamp()) * 1000000)::bigint"
NOW = f"coalesce(%(now)b::bigint, {SERVER_NOW})"

_LIGHT_OFF = "(select set_config('synchronous_commit', 'off', true)) is not null"  # until the end of the transaction


def quoted(name: str) -> str:
    """Quote a name for SQL.

    >>> quoted('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


class Texts:
    """The filled templates of one schema.

    Args:
        schema: Its name, unquoted.
        light: Whether `{light}` does what the module says; where not, it is simply true.

    >>> Texts("millrace").fill("select id from {s}.job where due <= {now}")[0][:40]
    'select id from "millrace".job where due '
    """

    __slots__ = ("_filled", "_light", "light", "schema")

    def __init__(self, schema: str, *, light: bool = False) -> None:
        self.schema = schema
        self.light = light
        self._light = _LIGHT_OFF if light else "true"
        self._filled: dict[str, tuple[str, bool]] = {}

    def fill(self, template: str) -> tuple[str, bool]:
        """Return the text of a template, and whether it wants `now` among its arguments."""
        found = self._filled.get(template)
        if found is None:
            found = self._filled[template] = self._fill(template)
        return found

    def plain(self, template: str) -> str:
        """Return the text of a template."""
        return self.fill(template)[0]

    def _fill(self, template: str) -> tuple[str, bool]:
        # Without its indents: the driver keeps what it has learnt of a text only up to 4,096 characters.
        text = "\n".join(line.strip() for line in template.strip().splitlines())
        text = text.replace("{s}", quoted(self.schema)).replace("{light}", self._light)
        return text.replace("{now}", NOW), "{now}" in text or "%(now)" in text
