"""How jobs of one task are run, worked out once. Owns what the runners read for each job, and what a claim may ask for.

A `TaskSpec` says it in words; a `Plan` has it ready: bound methods, microseconds, no property on the way of a job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millrace.clock import micros
from millrace.codec import Arguments
from millrace.errors import PayloadError
from millrace.hooks import Around, Hooks
from millrace.options import DEFAULT_LEASE, Terms
from millrace.registry import Registry, RunIn, TaskSpec
from millrace.worker.around import wrapped

__all__ = ["Plan", "Plans"]

Decode = Callable[[bytes], tuple[tuple[Any, ...], dict[str, Any]]]


class Plan:
    """One task made ready, or one job's own terms laid over it.

    >>> Plan(TaskSpec("print", print, run_in="thread")).kind
    'thread'
    """

    __slots__ = (
        "decode",
        "function",
        "kind",
        "lease",
        "name",
        "retention",
        "spec",
        "takes_context",
        "terms",
        "timeout",
    )

    def __init__(
        self, spec: TaskSpec, terms: Terms | None = None, decode: Decode | None = None, arounds: tuple[Around, ...] = ()
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.kind: RunIn = spec.run_in
        self.function = wrapped(spec.function, arounds)
        self.takes_context = spec.takes_context
        self.terms = terms = terms or spec.terms
        self.timeout = terms.timeout
        self.lease = micros(terms.lease)
        self.retention = terms.retention_micros
        self.decode = decode or _decoder(spec)

    def over(self, options: bytes) -> Plan:
        """Return the plan for a job with options of its own."""
        plan = Plan(self.spec, self.spec.terms_of(options), self.decode)
        plan.function = self.function
        return plan


class Plans(dict[str, Plan]):
    """Plans by task name, made at first use; `plans[name]` raises KeyError where the registry has no such task.

    >>> registry = Registry()
    >>> registry.add(TaskSpec("print", print, run_in="thread"))
    >>> Plans(registry)["print"].name
    'print'
    """

    def __init__(self, registry: Registry, only: frozenset[str] | None = None, hooks: Hooks | None = None) -> None:
        super().__init__()
        self._registry = registry
        self._hooks = hooks or Hooks()
        self._arounds: tuple[Around, ...] = self._hooks.arounds  # those of the plans that are made
        self._only = only
        self._names: frozenset[str] | None = None
        self.claimable: frozenset[str] = frozenset()  #: the names to claim
        self.leases: Mapping[str, int] = {}  #: of those whose lease is not the default, in microseconds
        self.shortest_lease = DEFAULT_LEASE  #: in seconds
        self.refresh()

    def __missing__(self, name: str) -> Plan:
        spec = self._registry.get(name)
        if spec is None:
            raise KeyError(name)
        plan = self[name] = Plan(spec, arounds=self._arounds)
        return plan

    def refresh(self) -> None:
        """Pick up tasks and middleware that were registered meanwhile; costs nothing where none was."""
        if self._arounds is not self._hooks.arounds:
            self._arounds = self._hooks.arounds
            self.clear()
        names = self._registry.names
        if names is self._names:
            return
        self._names = names
        self.claimable = names if self._only is None else names & self._only
        specs = [spec for spec in self._registry if spec.name in self.claimable]
        self.leases = {spec.name: micros(spec.terms.lease) for spec in specs if spec.terms.lease != DEFAULT_LEASE}
        self.shortest_lease = min([DEFAULT_LEASE, *(spec.terms.lease for spec in specs)])


def _decoder(spec: TaskSpec) -> Decode:
    """Return what reads the task's arguments; where its annotations cannot be compiled, each job is told so."""
    try:
        arguments: Arguments = spec.arguments
    except PayloadError as error:
        text = str(error)

        def refuse(_: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
            raise PayloadError(text)

        return refuse
    return arguments.decode
