"""Exit codes of the program."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    INCOMPLETE = 1
    """Trials failed or are left (not after --time-limit), or something ended the run: a full disk, another run that
    took over, Ray's death."""
    MISTAKE = 2
    """The command, a file, or the machine does not allow it; one line says what."""
    INTERRUPTED = 130
    """Ctrl-C, SIGTERM, SIGHUP or SIGUSR1; the same command resumes."""
