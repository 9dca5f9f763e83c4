"""What the commands around migrations and contracts raise; each message says what to do next."""

from __future__ import annotations


class MigrateError(Exception):
    """A run that could not go on."""


class LockedError(Exception):
    """Somebody else is migrating this database."""


class LockLostError(Exception):
    """This run was taken for dead and another one holds the lock now."""


class ContractError(Exception):
    """A contract file that does not hold together; the text starts with `file:line:`."""
