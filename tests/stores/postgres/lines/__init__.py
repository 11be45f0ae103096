"""The connections of a PostgreSQL store: how many, for how long, what becomes of them; schema, notices, findings."""
