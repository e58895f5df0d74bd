"""Connections that never ask, ask too slowly, or never read what they are told: let go.

Uvicorn bounds neither how many connections are open nor how long one takes for its first request,
and waits for a client to read what was written before it closes.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from keras_ds2.serving.limits import Limits


def bounded_protocols(limits: Limits) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Uvicorn's protocols of HTTP and WebSocket, with bounds.

    Args:
        limits: `max_connections`, `idle_seconds` for a request's head, `send_seconds` for what is
            left to send when a connection closes.
    """

    class BoundedHttp(H11Protocol):
        _clock = None  # runs while a request's head is awaited, or a body that nobody wants

        def connection_made(self, transport):
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.abort()
                return
            self._start_clock()

        def data_received(self, data):
            if self._clock is None and (self.cycle is None or self.cycle.response_complete):
                self._start_clock()
            super().data_received(data)

        def handle_events(self):
            super().handle_events()
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_clock()

        def handle_websocket_upgrade(self, event):
            self._stop_clock()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc):
            self._stop_clock()
            super().connection_lost(exc)

        def _start_clock(self):
            self._clock = self.loop.call_later(limits.idle_seconds, self.transport.abort)

        def _stop_clock(self):
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

    class BoundedWebSocket(WebSocketsSansIOProtocol):
        async def run_asgi(self):
            await super().run_asgi()
            # No more than a no-op for who read all and closed.
            self.loop.call_later(limits.send_seconds, self.transport.abort)

    return BoundedHttp, BoundedWebSocket
