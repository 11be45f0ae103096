"""The peers' drivers: each runs in its peer's own environment, so the type checkers leave this folder out."""
