"""Names and addresses by which a machine speaks to itself."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a name or an address, without a port, is always this machine's own.

    Args:
        host: `localhost`, an address of 127.0.0.0/8, `::1`; anything else is not.
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(header: str) -> bool:
    """Whether the header `Host` of a request names this machine, with any port or none.

    Args:
        header: as it came: `localhost:8000`, `127.0.0.1`, `[::1]:8000`.
    """
    try:
        parts = urlsplit(f"//{header}")
        return parts.netloc == header and "@" not in header and is_loopback(parts.hostname or "")
    except ValueError:
        return False
