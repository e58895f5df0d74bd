"""Files that are written whole or not at all, and what is said when they cannot be written."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

_DRAFT = ".draft."


class WriteError(OSError):
    """A file that cannot be written: which one, why, the space that it needs and that is free."""


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 file beside its place and then moves it there in one step.

    A reader sees the old file or the new one, never a half. Missing parent folders are made.

    Args:
        path: the file to write; an existing one is replaced.
        text: its whole content; line ends are written as they are.

    Raises:
        ValueError: if `text` cannot be written as UTF-8 (a lone surrogate).
        WriteError: if it cannot be written; nothing is left behind.
    """
    content = text.encode("utf-8")
    path = os.path.realpath(os.fspath(path))  # a link stays a link, its target is replaced

    def write(draft):
        with open(draft, "wb") as file:
            file.write(content)

    with explained(path, len(content)):
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        prefix = f"{_DRAFT}{os.path.basename(path)}."
        handle, draft = tempfile.mkstemp(prefix=prefix, dir=folder)
        os.close(handle)
        _replace(draft, path, write)


def write_file_atomically(path: str | os.PathLike, write: Callable[[str], None], size: int) -> None:
    """Lets a function write a file beside its place and then moves it there in one step.

    Args:
        path: the file; an existing one is replaced. Its folder exists.
        write: is given the path to write to, which ends as `path` does.
        size: about how many bytes it writes.

    Raises:
        WriteError: if it cannot be written; nothing is left behind.
    """
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    with explained(path, size):
        draft = os.path.join(folder, _DRAFT + name)
        reserve(draft, size)
        _replace(draft, path, write)


def is_draft(path: str | os.PathLike) -> bool:
    """Whether a file is what a killed process left half written, by its name."""
    return os.path.basename(path).startswith(_DRAFT)


def remove_drafts(folder: str | os.PathLike) -> None:
    """Removes what a killed process left half written in a folder."""
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if is_draft(entry)]
    for path in left:
        with contextlib.suppress(OSError):
            os.unlink(path)


def reserve(path: str | os.PathLike, size: int) -> None:
    """Makes sure, as far as the file system can tell, that a new file of a size can be written.

    A library that runs out of space in the middle of a file may leave more behind than the file.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def sync(path: str | os.PathLike) -> None:
    """Waits until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def explained(path: str | os.PathLike, size: int) -> Iterator[None]:
    """Turns what goes wrong in writing `path`, of about `size` bytes, into a `WriteError`."""
    try:
        yield
    except WriteError:
        raise
    # h5py raises a RuntimeError where it cannot close what it could not write.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        where = next(p for p in _upwards(os.path.abspath(path)) if os.path.isdir(p))
        free = shutil.disk_usage(where).free
        number = getattr(error, "errno", None)
        message = (
            f"{os.fspath(path)}: cannot be written ({reason}); it needs {_size(size)}, "
            f"{_size(free)} are free there"
        )
        raise WriteError(*((number, message) if number else (message,))) from error


def _upwards(path):
    while True:
        path, name = os.path.split(path)
        yield path
        if not name:
            return


def _size(count):
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000


def _replace(draft, path, write):
    try:
        write(draft)
        sync(draft)
        os.chmod(draft, _usual_mode(path))
        os.replace(draft, path)
        sync(os.path.dirname(path))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _usual_mode(path: str) -> int:
    """The mode of the file that is replaced, or the one the process gives to new files."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
