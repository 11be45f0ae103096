"""The benchmarks: Millrace beside its peers, on this machine, in one run.

`python -m bench` sets up the peers by itself, runs every scenario in interleaved rounds and prints one table a
scenario: our figure, the peer's, the ratio and whether the target is reached. `bench/README.md` says how the figures
are taken. Nothing here is imported by the product, and no peer is a dependency of it.
"""
