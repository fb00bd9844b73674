"""The one error that is the user's to mend; the command prints its message and exits with 2."""


class DatumrlError(ValueError):
    """Input that cannot be used.  The message names the offending value and the remedy."""
