"""A Redis Cluster of three nodes. Owns how they find each other and share the slots."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Self

from tests.servers.cluster import free_port
from tests.servers.redisinstallations import RedisInstallation
from tests.servers.redisserver import EVERY_SECOND, RedisServer, wait_until

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

    Attributes:
        nodes: The servers, in the order of their slots.
    """

    def __init__(self, installation: RedisInstallation) -> None:
        self.nodes = [RedisServer(installation, SETTINGS, port=_free_pair()) for _ in range(NODES)]
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
        wait_until(lambda: all(map(_is_whole, self.nodes)), "the nodes to agree", self.nodes[0].log)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def node_of(self, key: str | bytes) -> RedisServer:
        """The server that has the slot of a key."""
        slot = int(self.nodes[0].run("CLUSTER", "KEYSLOT", key))
        return next(node for number, node in enumerate(self.nodes, 1) if slot < SLOTS * number // NODES)

    def move(self, slot: int, old: RedisServer, new: RedisServer) -> None:
        """Move a slot with its keys, as an administrator does, while others write to them."""
        ids = {node: node.run("CLUSTER", "MYID").decode() for node in (old, new)}
        new.run("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[old])
        old.run("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[new])
        while keys := old.run("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            for key in keys:
                old.run("MIGRATE", "127.0.0.1", new.port, key, 0, 5000)
        for node in (new, *(node for node in self.nodes if node is not new)):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", ids[new])

    def url(self, prefix: str) -> str:
        """How a store names the node that has its keys."""
        return self.node_of(f"{{{prefix}}}:").url(prefix=prefix)


def _is_whole(node: RedisServer) -> bool:
    told: bytes = node.run("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_known_nodes:%d" % NODES in told


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
