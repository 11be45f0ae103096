"""Faults of a server, and of the way to it. Owns what only PostgreSQL can suffer; the harness is a folder above."""
