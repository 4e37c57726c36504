"""Trains item and user vectors from interactions, in the files that an index is built from."""


class Refused(Exception):
    """An input or an option that cannot be used; the message says which and why."""
