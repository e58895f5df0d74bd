"""Tests of writing text files whole or not at all."""

import os
import stat

import pytest

from keras_ds2.atomic_write import write_text_atomically


def test_writes_utf8_with_line_ends_as_given_and_makes_folders(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    write_text_atomically(path, "我\r\nb\n")
    assert path.read_bytes() == "我\r\nb\n".encode()


def test_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")
    write_text_atomically(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_text_that_cannot_be_encoded_changes_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        write_text_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_are_those_of_the_replaced_file_or_of_any_new_file(tmp_path):
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.write_text("")
    write_text_atomically(written, "")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    written.chmod(0o640)
    write_text_atomically(written, "new")
    assert stat.S_IMODE(written.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
