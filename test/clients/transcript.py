# Owns what a client's script tells of what it saw: a line of JSON each, compared between a direct run and one through
# the gateway. What differs from run to run (process ids, OIDs, times) must not be told.

import json
import sys


def tell(what, value=None):
    """Writes one line; values JSON does not know are told by their repr."""
    json.dump({what: value}, sys.stdout, default=repr, sort_keys=True)
    sys.stdout.write("\n")


def attempt(what, run, errors):
    """Runs something that may fail, and tells its value or the server's error: code, message and position."""
    try:
        tell(what, run())
    except errors as error:
        tell(what, failure(error))


def failure(error):
    diag = getattr(error, "diag", None)
    if diag is not None:
        return ["error", diag.sqlstate, diag.message_primary, diag.statement_position]
    return ["error", getattr(error, "sqlstate", None), str(error).splitlines()[0]]
