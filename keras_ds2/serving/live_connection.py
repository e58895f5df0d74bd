"""One client of `/v1/stream`: audio in, text out, and nothing that it could do to the others."""

import asyncio
import itertools
import time

from starlette.websockets import WebSocket, WebSocketState

from keras_ds2.serving.batch_dispatch import DispatchedStream
from keras_ds2.serving.messages import (
    INTERNAL,
    INVALID,
    NORMAL,
    POLICY,
    RESTART,
    TRY_LATER,
    UNSUPPORTED,
    Refusal,
    error_message,
    final_message,
    partial_message,
    read_end,
    read_samples,
    read_start,
    ready_message,
)
from keras_ds2.serving.service import LOGGER, Service
from keras_ds2.streaming import Final, Partial

_GONE = 1001
_NUMBERS = itertools.count(1)


class _Gone(Exception):
    """The client has closed, or reads nothing any more."""


class LiveConnection:
    """A WebSocket and its stream.

    What waits for a client that reads slowly is one partial text, the newest, and the final one.

    Args:
        websocket: not accepted yet.
        service: whose device computes.
        bearer: the token of the connection's own header, None where it has none.
    """

    def __init__(self, websocket: WebSocket, service: Service, bearer: str | None):
        self._websocket, self._service, self._bearer = websocket, service, bearer
        self._limits = service.limits
        self._number = next(_NUMBERS)
        self._stream: DispatchedStream | None = None
        self._encoding = ""
        self._newest: tuple[Partial, float] | None = None
        self._result: Final | Exception | None = None
        self._changed = asyncio.Event()  # something to send
        self._computed = asyncio.Event()  # less waits to be computed
        self._ended_at: float | None = None
        self._cut_off: Refusal | None = None

    async def run(self) -> None:
        """Serves it from its first message to its last."""
        await self._websocket.accept()
        code = INTERNAL
        try:
            code = await self._serve()
        except Refusal as refusal:
            code = refusal.code
            await self._let_go(refusal)
        except _Gone:
            code = _GONE
        finally:
            if self._stream is not None:
                self._stream.close()
                self._service.metrics.audio.inc(self._stream.seconds)
            self._service.metrics.ended.labels(str(code)).inc()
            seconds = 0.0 if self._stream is None else self._stream.seconds
            LOGGER.info("session %d: %.1f s of audio, closed %d", self._number, seconds, code)

    async def _serve(self):
        service = self._service
        try:
            first = await self._receive(self._limits.idle_seconds)
        except TimeoutError:
            raise self._silent() from None
        if service.step is None:
            raise Refusal(UNSUPPORTED, f"{service.cannot_stream}; POST files to /v1/transcribe")
        start = read_start(first.get("text"), service.sampling_rate)
        if not service.admits(start.token or self._bearer):
            raise Refusal(POLICY, "token: expected the server's own, in the first message")
        stop = Refusal(RESTART, "the server is stopping; this is the text up to here")
        with service.inside(lambda: self.cut_off(stop)):
            session = service.recognizer.stream(
                chunk_ms=service.chunk_ms, endpoint_ms=start.endpoint_ms
            )
            loop = asyncio.get_running_loop()
            self._encoding = start.encoding
            self._stream = service.dispatch.open(
                session, lambda event: loop.call_soon_threadsafe(self._told, event)
            )
            await self._send(
                ready_message(
                    service.sampling_rate, session.latency_ms, self._limits.max_session_seconds
                )
            )
            return await self._both_ways()

    async def _both_ways(self):
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        clock = asyncio.get_running_loop().call_later(
            self._limits.max_session_seconds, self.cut_off, self._too_long()
        )
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            # Reading ends by an exception alone: what the client did wrong, or that it is gone.
            done = writing if writing.done() else reading
            return done.result()
        finally:
            clock.cancel()
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self):
        while True:
            patience = None if self._ended_at is not None else self._limits.idle_seconds
            try:
                message = await self._receive(patience)
            except TimeoutError:
                self.cut_off(self._silent())
                continue
            if self._cut_off is not None:
                continue
            if self._ended_at is not None:
                raise Refusal(INVALID, 'expected nothing after {"type": "end"}')
            if message.get("bytes") is None:
                read_end(message.get("text"))
                self._end()
                continue
            samples = read_samples(message["bytes"], self._encoding)
            if not len(samples):
                continue
            room = self._limits.max_session_seconds - self._stream.seconds
            rows = round(room * self._service.sampling_rate)
            self._stream.put(samples[:rows])
            if len(samples) > rows:
                self.cut_off(self._too_long())
            while self._stream.waiting_seconds > self._service.most_waiting_seconds:
                self._computed.clear()
                await self._computed.wait()

    async def _write(self):
        while True:
            await self._changed.wait()
            self._changed.clear()
            newest, self._newest = self._newest, None
            if newest is not None:
                await self._send(partial_message(*newest))
            if self._result is not None:
                return await self._send_result(self._result)

    async def _send_result(self, result):
        if isinstance(result, ValueError):
            raise Refusal(INVALID, str(result))
        if isinstance(result, Exception):
            LOGGER.error("session %d failed", self._number, exc_info=result)
            raise Refusal(INTERNAL, "the server failed at this stream; it is written in its log")
        self._service.metrics.final_delay.observe(time.monotonic() - self._ended_at)
        if self._service.log_text:
            LOGGER.info("session %d: %r", self._number, result.text)
        await self._send(final_message(result, complete=self._cut_off is None))
        if self._cut_off is not None:
            raise self._cut_off
        await self._close(NORMAL, "")
        return NORMAL

    def cut_off(self, why: Refusal) -> None:
        """Ends the stream as if the client had; it is told the text, then why."""
        if self._cut_off is None and self._ended_at is None:
            self._cut_off = why
            self._end()

    def _end(self):
        self._ended_at = time.monotonic()
        self._stream.end()

    def _told(self, event):
        if isinstance(event, Partial):
            self._newest = event, self._stream.computed_seconds
        else:
            self._result = event
        self._changed.set()
        self._computed.set()

    def _too_long(self):
        return Refusal(
            POLICY, f"a stream may last {self._limits.max_session_seconds:g} s; open another"
        )

    def _silent(self):
        return Refusal(POLICY, f"nothing came for {self._limits.idle_seconds:g} s")

    async def _receive(self, seconds):
        async with asyncio.timeout(seconds):
            message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise _Gone
        return message

    async def _send(self, text):
        await self._in_time(self._websocket.send_text(text))

    async def _close(self, code, reason):
        await self._in_time(self._websocket.close(code, reason))

    async def _in_time(self, sending):
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await sending
        except Exception as error:  # too slow, or closed meanwhile
            raise _Gone from error

    async def _let_go(self, refusal):
        if refusal.code not in (TRY_LATER, RESTART):
            LOGGER.info("session %d: let go: %s", self._number, refusal.logged)
        try:
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._send(error_message(refusal))
                await self._close(refusal.code, refusal.reason)
        except _Gone:
            pass
