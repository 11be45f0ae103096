"""Servers that the tests start by themselves: PostgreSQL, PgBouncer, Redis, an unruly proxy. Owns no assertion."""
