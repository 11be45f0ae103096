"""The checkers behind the tests of this folder. Each takes parsed files and returns complaints, one sentence each."""
