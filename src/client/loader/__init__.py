"""The loader of job files; see main.py."""
