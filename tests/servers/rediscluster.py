"""A Redis Cluster of three nodes. Owns how they find each other and share the slots."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from types import MappingProxyType
from typing import Self

from tests.servers.cluster import free_port
from tests.servers.redisinstallations import RedisInstallation
from tests.servers.redisserver import EVERY_SECOND, RedisServer, Settings, wait_until

__all__ = ["RedisCluster"]

NODES = 3
SLOTS = 16384
BUS = 10_000  # by so much the port on which nodes talk to each other is above the one of clients
SETTINGS = {
    **EVERY_SECOND,
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "5000",
}


class RedisCluster:
    """Three servers that share the slots, without replicas, running while its `with` lasts.

    Args:
        installation: Whose programs.
        settings: Lines of their configuration, beside those that make them a cluster.

    Attributes:
        nodes: The servers, in the order of their slots.
    """

    def __init__(self, installation: RedisInstallation, settings: Settings = MappingProxyType({})) -> None:
        told = {**SETTINGS, **settings}
        self.nodes = [RedisServer(installation, told, port=_free_pair()) for _ in range(NODES)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        for number, node in enumerate(self.nodes):
            self._stack.enter_context(node)
            first, end = (SLOTS * each // NODES for each in (number, number + 1))
            node.run("CLUSTER", "ADDSLOTS", *range(first, end))
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for other in self.nodes[1:]:
            self.nodes[0].run("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(self._is_whole, "the nodes to meet", self.nodes[0].log)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def node_of(self, key: str | bytes) -> RedisServer:
        """The server that has the slot of a key."""
        slot = int(self.nodes[0].run("CLUSTER", "KEYSLOT", key))
        return next(node for number, node in enumerate(self.nodes, 1) if slot < SLOTS * number // NODES)

    def move(self, slot: int, old: RedisServer, new: RedisServer) -> None:
        """Move a slot with its keys, as an administrator does, while others write to them.

        Returns when all nodes agree. Whoever gets a slot takes an epoch above all that it has heard of, and of two who
        claim a slot the higher epoch wins. Were the slot moved on before that epoch is known to all, the next owner
        might take one that is not higher: a word of the last owner's that is still under way then wins at some nodes,
        and in the end each of the two may take it for the other's, for ever.
        """
        ids = {node: node.run("CLUSTER", "MYID").decode() for node in (old, new)}
        new.run("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[old])
        old.run("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[new])
        while keys := old.run("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            for key in keys:
                old.run("MIGRATE", "127.0.0.1", new.port, key, 0, 5000)
        for node in (new, *(node for node in self.nodes if node is not new)):  # whose it is now says so first
            node.run("CLUSTER", "SETSLOT", slot, "NODE", ids[new])
        wait_until(self._agree, f"the nodes to agree on slot {slot}", self._shown)

    def _is_whole(self) -> bool:
        """Tell whether every node knows all, finds that every slot has an owner, and agrees whose each is."""
        told: list[bytes] = [node.run("CLUSTER", "INFO") for node in self.nodes]
        known = b"cluster_known_nodes:%d" % NODES
        return all(b"cluster_state:ok" in each and known in each for each in told) and self._agree()

    def _agree(self) -> bool:
        """Tell whether all nodes say the same of whose each slot is, and by which epoch."""
        first, *others = map(_owners, self.nodes)
        return all(first == other for other in others)

    def _shown(self) -> str:
        return "\n\n".join(node.run("CLUSTER", "NODES").decode() for node in self.nodes)

    def url(self, prefix: str) -> str:
        """How a store names the node that has its keys."""
        return self.node_of(f"{{{prefix}}}:").url(prefix=prefix)


def _owners(node: RedisServer) -> dict[bytes, tuple[bytes, list[bytes]]]:
    """Return by the id of each node its epoch and its slots, as one node has them."""
    owners: dict[bytes, tuple[bytes, list[bytes]]] = {}
    for line in node.run("CLUSTER", "NODES").splitlines():
        id, _, _, _, _, _, epoch, _, *slots = line.split()
        owners[id] = epoch, [each for each in slots if not each.startswith(b"[")]  # in brackets: those on their way
    return owners


def _free_pair() -> int:
    """Find a port that is free with the one that goes with it."""
    while True:
        port = free_port() - BUS
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
