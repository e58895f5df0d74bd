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
        limits: `max_connections`; `idle_seconds` until a request's head has come, counted from the
            answer before it, and until a WebSocket is open; `send_seconds` until a client reads on
            once more waits for it than the system takes, or when a WebSocket closes.
    """

    class BoundedHttp(_Clocks, H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.abort()
                return
            self._await_head()

        def data_received(self, data):
            self._await_head()
            super().data_received(data)

        def handle_events(self):
            super().handle_events()
            if self._is_busy():
                self.stop_clock("head")

        def on_response_complete(self):
            super().on_response_complete()
            self._await_head()

        def send_400_response(self, msg):
            super().send_400_response(msg)
            self.start_clock("head", limits.idle_seconds)

        def handle_websocket_upgrade(self, event):
            self.stop_clocks()
            super().handle_websocket_upgrade(event)

        def pause_writing(self):
            super().pause_writing()
            self.start_clock("reading", limits.send_seconds)

        def resume_writing(self):
            super().resume_writing()
            self.stop_clock("reading")

        def _await_head(self):
            if not self._is_busy():
                self.start_clock("head", limits.idle_seconds)

        def _is_busy(self):
            return self.cycle is not None and not self.cycle.response_complete

    class BoundedWebSocket(_Clocks, WebSocketsSansIOProtocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.start_clock("handshake", limits.idle_seconds)

        def data_received(self, data):
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                # Refused before there was a request: uvicorn is told of none, and would wait.
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()

        async def send(self, message):
            await super().send(message)
            if self.handshake_complete and not self.close_sent:
                self.stop_clock("handshake")

        def handle_ping(self):
            if self.writable.is_set():
                super().handle_ping()
            else:
                self.conn.data_to_send()  # dropped: who reads nothing must not pile up answers

        async def run_asgi(self):
            await super().run_asgi()
            # No more than a no-op for who read all and closed.
            self.start_clock("closing", limits.send_seconds)

    return BoundedHttp, BoundedWebSocket


class _Clocks:
    """Clocks by name; the first one to run out aborts the connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._clocks = {}

    def connection_lost(self, exc):
        self.stop_clocks()
        super().connection_lost(exc)

    def start_clock(self, name, seconds):
        if name not in self._clocks:
            self._clocks[name] = self.loop.call_later(seconds, self.transport.abort)

    def stop_clock(self, name):
        clock = self._clocks.pop(name, None)
        if clock is not None:
            clock.cancel()

    def stop_clocks(self):
        for name in list(self._clocks):
            self.stop_clock(name)
