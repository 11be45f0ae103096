"""Helpers for testing code that enqueues jobs."""
