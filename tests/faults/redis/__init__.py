"""Faults of a Redis server, and of the way to it. Owns what only Redis can suffer; the harness is a folder above."""
