"""The scenarios, one a file: each measures one row or a few of the same kind."""
