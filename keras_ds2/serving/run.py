"""A server's life: from its first line in the log to the last session's end."""

import asyncio
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
from keras_ds2.serving.loopback import is_loopback
from keras_ds2.serving.service import LOGGER, Service

_MOST_FILES_OF_MACOS = 10_240  # its OPEN_MAX: it takes no more, though it states no bound


class SpeechServer(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C, then lets sessions end.

    Args:
        service: not started.
        host: address to bind to. One of loopback is answered to by loopback names alone, unless
            the service has a token.
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
        is_open = not service.needs_token
        super().__init__(
            uvicorn.Config(
                make_app(service, local=is_open and is_loopback(host)),
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
                loop="asyncio",  # `startup` adds to it
            )
        )
        self._service = service
        if is_open and not is_loopback(host):
            LOGGER.warning("anyone who reaches %s may use this server: it has no token", host)

    @functools.cached_property
    def url(self) -> str:
        """Where it listens, once it has started."""
        address, port = self.servers[0].sockets[0].getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        return f"{'https' if self.config.is_ssl else 'http'}://{host}:{port}"

    async def startup(self, sockets=None) -> None:
        """Listens; who begins TLS and says no more is let go as who asks for nothing."""
        loop = asyncio.get_running_loop()
        if self.config.is_ssl:  # of which uvicorn passes no time on
            patience = self._service.limits.idle_seconds
            loop.create_server = functools.partial(
                loop.create_server, ssl_handshake_timeout=patience
            )
        await super().startup(sockets)

    async def shutdown(self, sockets=None) -> None:
        """Takes nobody any more, lets those inside end, closes; at a second Ctrl-C, at once."""
        for server in self.servers:
            server.close()
        await self._service.drain(lambda: self.force_exit)
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn leaves out the application's own end
            self._service.stop()


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
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (most, max(now, _MOST_FILES_OF_MACOS)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return


def _log_config():
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"][LOGGER.name] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
