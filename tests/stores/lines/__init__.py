"""Connections of the stores on a server, where both do the same; what only one of them does is told in its own room."""
