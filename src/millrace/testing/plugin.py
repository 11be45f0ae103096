"""The pytest plugin that comes with Millrace; pytest loads it by its entry point, so it imports nothing heavy."""
