"""The one error that is the user's to mend; the command prints its message and exits with 2."""


class DatumrlError(ValueError):
    """Input that cannot be used.  The message names the offending value and the remedy."""


def installed_by(extra: str) -> str:
    """Return the command that installs one of datumrl's extras, for a sentence of a remedy."""
    return f"`pip install -e '.[{extra}]' -c constraints.txt` in datumrl's checkout"


def brief(problem: Exception, longest: int = 300) -> str:
    """Return what a library says in one line that can be read: some quote bytes of the file."""
    text = " ".join(str(problem).split())
    return text if len(text) <= longest else f"{text[:longest]}..."
