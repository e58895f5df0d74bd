"""A server's life: from its first line in the log to the last session's end."""

import contextlib
import copy
import functools
import os

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from keras_ds2.recognition import Recognizer
from keras_ds2.serving.app import make_app
from keras_ds2.serving.connection_bounds import bounded_protocols
from keras_ds2.serving.limits import Limits
from keras_ds2.serving.service import LOGGER, Service

_LOCAL = ("127.0.0.1", "::1", "localhost")


class SpeechServer(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C, then lets sessions end.

    Args:
        service: not started.
        host: address to bind to.
        port: int; 0 for one that is free.
        certificate: path of a TLS certificate and its chain, PEM; None for no TLS.
        key: path of its key; None where the certificate's file holds it.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        certificate: str | os.PathLike | None = None,
        key: str | os.PathLike | None = None,
    ):
        http, websocket = bounded_protocols(service.limits)
        super().__init__(
            uvicorn.Config(
                make_app(service),
                host=host,
                port=port,
                http=http,
                ws=websocket,
                ws_max_size=service.limits.max_message_bytes,
                ws_per_message_deflate=False,  # what is small must not unpack to what is not
                ws_ping_timeout=60.0,  # a client whose audio waits is not read, nor its pongs
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=2**14,
                server_header=False,
                ssl_certfile=certificate,
                ssl_keyfile=key,
                log_config=_log_config(),
                lifespan="on",
            )
        )
        self._service = service
        if host not in _LOCAL and not service.needs_token:
            LOGGER.warning("anyone who reaches %s may use this server: it has no token", host)

    @functools.cached_property
    def url(self) -> str:
        """Where it listens, once it has started."""
        address, port = self.servers[0].sockets[0].getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        return f"{'https' if self.config.is_ssl else 'http'}://{host}:{port}"

    async def shutdown(self, sockets=None) -> None:
        """Takes nobody any more, lets those inside end, closes."""
        for server in self.servers:
            server.close()
        await self._service.drain()
        await super().shutdown(sockets)


def serve_recognizer(
    recognizer: Recognizer,
    limits: Limits,
    *,
    chunk_ms: float | None,
    token: str | None,
    log_text: bool,
    **options,
) -> int:
    """Serves until it is told to stop.

    Args:
        recognizer: of waveforms.
        limits: bounds.
        chunk_ms: see `Service`.
        token: see `Service`.
        log_text: see `Service`.
        **options: of `SpeechServer`.

    Returns:
        The exit status.

    Raises:
        ValueError: see `Service`; for a certificate that cannot be read, OSError.
    """
    service = Service(recognizer, limits, chunk_ms=chunk_ms, token=token, log_text=log_text)
    server = SpeechServer(service, **options)
    _open_many_files()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1


def _open_many_files():
    """Lets this process open as many connections as the system lets it, where it is asked."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_config():
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"][LOGGER.name] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
