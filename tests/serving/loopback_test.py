"""Which names mean this machine, whatever a name server says."""

import pytest

from keras_ds2.serving.loopback import is_loopback, names_loopback


@pytest.mark.parametrize(
    "header",
    ["localhost", "LocalHost:8000", "127.0.0.1:1", "127.200.0.9", "[::1]:8000", "[::1]"],
)
def test_those_of_this_machine(header):
    assert names_loopback(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ":8000",
        "evil.example:8000",
        "localhost.evil.example",
        "evil.example#localhost",
        "localhost/evil",
        "localhost@evil.example",
        "evil@localhost",
        "192.168.1.7",
        "0.0.0.0",
        "127.1",
        "[::1",
        "::1]",
        "[::2]:80",
        "localhost\t",
    ],
)
def test_others(header):
    assert not names_loopback(header)


def test_addresses_to_bind_to():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.0.0.2", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))
