"""Durable background jobs for Python, kept in the store you already have."""
