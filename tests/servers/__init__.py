"""Servers that the tests start by themselves: PostgreSQL, a proxy that misbehaves, PgBouncer. Owns no assertion."""
