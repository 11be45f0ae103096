"""What Millrace counts and measures of itself, and its text form for Prometheus. Knows no store and no worker.

`families` lists all metrics, `readings` holds their values, `meter` is where they are counted, `text` writes them.
Nothing of this is loaded by a program that measures nothing.
"""
