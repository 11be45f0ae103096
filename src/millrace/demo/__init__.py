"""The demonstration: real jobs on an SQLite file that run, fail, lose their worker and finish."""
