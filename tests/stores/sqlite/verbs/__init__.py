"""The verbs of the SQLite store: what its statements cost and how they go, beside what the conformance suite asks."""
