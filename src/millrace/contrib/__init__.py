"""What fits Millrace into other libraries, a module each; each needs the library that it is named after.

Nothing here is loaded by `import millrace`.
"""
