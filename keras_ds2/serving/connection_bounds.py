"""Connections that never ask, ask too slowly or too often, or never read what they are told.

Uvicorn bounds neither how many connections are open nor how long one takes for its first request;
it parses all that came at once, be it thousands of messages, and answers every ping; and waits for
a client to read what was written before it closes.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from keras_ds2.serving.limits import Limits

_PIECE = 2**12  # bytes that are parsed at a time, some 700 of the smallest messages


def bounded_protocols(limits: Limits) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Uvicorn's protocols of HTTP and WebSocket, with bounds.

    Args:
        limits: `max_connections`, beyond which the one is let go that has asked for nothing for
            longest; `max_messages_per_second` of a WebSocket, pings among them, beyond which no
            more is read for the moment; `idle_seconds` until a request's head has come, counted
            from the answer before it, and until a WebSocket is open; `send_seconds` until a client
            reads on once more waits for it than the system takes, or when a WebSocket closes.
    """
    silent = {}  # connections that have asked for nothing, oldest first

    class BoundedHttp(_Clocks, H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._await_head()
            if len(self.connections) > limits.max_connections:
                oldest = next(iter(silent))  # at the worst this one
                del silent[oldest]
                oldest.transport.abort()

        def connection_lost(self, exc):
            silent.pop(self, None)
            super().connection_lost(exc)

        def data_received(self, data):
            self._await_head()
            super().data_received(data)

        def handle_events(self):
            super().handle_events()
            if self._is_busy():
                silent.pop(self, None)
                self.stop_clock("head")

        def on_response_complete(self):
            super().on_response_complete()
            self._await_head()

        def send_400_response(self, msg):
            super().send_400_response(msg)
            self.start_clock("head", limits.idle_seconds)

        def handle_websocket_upgrade(self, event):
            silent.pop(self, None)
            self.stop_clocks()
            super().handle_websocket_upgrade(event)

        def pause_writing(self):
            super().pause_writing()
            self.start_clock("reading", limits.send_seconds)

        def resume_writing(self):
            super().resume_writing()
            self.stop_clock("reading")

        def _await_head(self):
            if not self._is_busy() and not self.transport.is_closing():
                silent.setdefault(self)
                self.start_clock("head", limits.idle_seconds)

        def _is_busy(self):
            return self.cycle is not None and not self.cycle.response_complete

    class BoundedWebSocket(_Clocks, WebSocketsSansIOProtocol):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._unparsed, self._pause = bytearray(), None
            self._credit, self._counted_at = float(limits.max_messages_per_second), self.loop.time()

        def connection_made(self, transport):
            super().connection_made(transport)
            silent.setdefault(self)
            self.start_clock("handshake", limits.idle_seconds)

        def connection_lost(self, exc):
            silent.pop(self, None)
            if self._pause is not None:
                self._pause.cancel()
            super().connection_lost(exc)

        def data_received(self, data):
            self._unparsed += data
            self._parse()

        def handle_events(self):
            now = self.loop.time()
            rate = limits.max_messages_per_second
            self._credit = min(rate, self._credit + rate * (now - self._counted_at))
            self._credit -= len(self.conn.events)
            self._counted_at = now
            super().handle_events()

        def send_receive_event_to_app(self):
            silent.pop(self, None)
            super().send_receive_event_to_app()

        async def receive(self):
            message = await super().receive()
            self._parse()
            return message

        async def send(self, message):
            await super().send(message)
            if self.handshake_complete and not self.close_sent:
                self.stop_clock("handshake")
            self._parse()  # what comes after a close is let fall, but for the answer to it

        def handle_ping(self):
            if self.writable.is_set():
                super().handle_ping()
            else:
                self.conn.data_to_send()  # dropped: who reads nothing must not pile up answers

        async def run_asgi(self):
            await super().run_asgi()
            # No more than a no-op for who read all and closed.
            self.start_clock("closing", limits.send_seconds)

        def _parse(self):
            """Piece by piece, as far as its messages are taken and its credit goes."""
            while self._unparsed and self._pause is None and not self.read_paused:
                if self.transport.is_closing():
                    self._unparsed.clear()
                    return
                piece = bytes(self._unparsed[:_PIECE])
                del self._unparsed[:_PIECE]
                super().data_received(piece)
                if self.conn.handshake_exc is not None and not self.handshake_initiated:
                    # Refused before there was a request: uvicorn is told of none, and would wait.
                    self.transport.write(b"".join(self.conn.data_to_send()))
                    self.transport.close()
                if self._credit < 0:
                    seconds = -self._credit / limits.max_messages_per_second
                    self._pause = self.loop.call_later(seconds, self._resume)
            if self._unparsed or self._pause is not None:
                self.transport.pause_reading()

        def _resume(self):
            self._pause = None
            self._parse()
            if self._pause is None and not self.read_paused:
                self.transport.resume_reading()

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
