"""Text files that are written whole or not at all."""

import contextlib
import os
import tempfile


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 file beside its place and then moves it there in one step.

    A reader sees the old file or the new one, never a half. Missing parent folders are made.

    Args:
        path: the file to write; an existing one is replaced.
        text: its whole content; line ends are written as they are.

    Raises:
        ValueError: if `text` cannot be written as UTF-8 (a lone surrogate).
        OSError: if the folder cannot be written; nothing is left behind.
    """
    content = text.encode("utf-8")
    path = os.path.realpath(os.fspath(path))  # a link stays a link, its target is replaced
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _usual_mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _usual_mode(path: str) -> int:
    """The mode of the file that is replaced, or the one the process gives to new files."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
