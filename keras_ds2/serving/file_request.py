"""`POST /v1/transcribe`: a file in, its text out."""

import asyncio
import math

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from keras_ds2.audio.io import AudioError
from keras_ds2.audio.stated_length import stated_length
from keras_ds2.serving.messages import Refusal, word_rows
from keras_ds2.serving.service import LOGGER, Service
from keras_ds2.streaming import Final, Partial

# Per second of `max_file_seconds`: two channels at 48 kHz.
_MOST_SAMPLES_A_SECOND = 96_000


class _HttpError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


async def transcribe(request: Request, service: Service) -> Response:
    """Answers one request: 200 with the text, or an error in JSON with a message.

    The file is the request's body, as it is. A model that streams reads it chunk by chunk among
    the live ones, so that nobody waits for it.

    Args:
        request: allowed to.
        service: whose device computes.
    """
    stopped, received = asyncio.Event(), asyncio.Event()
    try:
        with service.inside(stopped.set, is_file=True):
            answering = asyncio.create_task(_answer(request, service, received))
            stopping = asyncio.create_task(stopped.wait())
            leaving = asyncio.create_task(_left(request, received))
            tasks = {answering, stopping, leaving}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    response = answering.result()
                elif stopping.done():
                    raise _HttpError(503, "the server is stopping; try again in a moment")
                else:
                    raise ClientDisconnect
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    except Refusal as refusal:
        response = _error(503, str(refusal), {"Retry-After": "5"})
    except _HttpError as error:
        response = _error(error.status, str(error))
    except ClientDisconnect:
        response = _error(400, "the connection broke off")  # nobody reads it
    except Exception as error:
        LOGGER.error("a file failed", exc_info=error)
        response = _error(500, "the server failed at this file; it is written in its log")
    service.metrics.files.labels(str(response.status_code)).inc()
    return response


async def _left(request, received):
    """Ends when the client has gone, once its body has been received."""
    await received.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer(request, service, received):
    content = await _body(request, service.limits)
    received.set()
    waveform = await service.decode(_decoded, content, service)
    del content
    seconds = len(waveform) / service.sampling_rate
    service.metrics.audio.inc(seconds)
    if service.step is None:
        recognition = await service.recognize(waveform)
        text, words = recognition.text, service.words(recognition)
        log_prob = recognition.hypothesis.log_prob
    else:
        final = await _streamed(waveform, service)
        text, words, log_prob = final.text, final.words, final.hypothesis.log_prob
    if service.log_text:
        LOGGER.info("a file of %.1f s: %r", seconds, text)
    return JSONResponse(
        {
            "text": text,
            "seconds": round(seconds, 3),
            "log_prob": round(log_prob, 4),
            "words": word_rows(words),
        }
    )


async def _body(request, limits):
    most = limits.max_file_bytes
    too_big = _HttpError(413, f"expected a file of at most {most} bytes")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most:
        raise too_big
    content = bytearray()
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for piece in request.stream():
                content += piece
                if len(content) > most:
                    raise too_big
    except TimeoutError:
        raise _HttpError(408, f"the file took longer than {limits.upload_seconds:g} s") from None
    return bytes(content)


def _decoded(content, service):
    stated = stated_length(content)
    most = service.limits.max_file_seconds
    unpacked = stated.samples * stated.channels
    if stated.seconds > most or unpacked > most * _MOST_SAMPLES_A_SECOND:
        raise _HttpError(
            413,
            f"expected at most {most:g} s of audio, received {stated.seconds:.6g} s: "
            f"{stated.samples} samples of {stated.channels} channels at {stated.sampling_rate} Hz",
        )
    try:
        return service.recognizer.read_waveform(content)
    except AudioError as error:
        raise _HttpError(422, str(error)) from error


async def _streamed(waveform, service):
    loop = asyncio.get_running_loop()
    computed, result = asyncio.Event(), loop.create_future()

    def told(event):
        computed.set()
        if not isinstance(event, Partial) and not result.done():
            result.set_result(event)

    stream = service.dispatch.open(
        service.recognizer.stream(chunk_ms=service.chunk_ms, loudest=math.inf),
        lambda event: loop.call_soon_threadsafe(told, event),
    )
    piece = int(service.most_waiting_seconds * service.sampling_rate)
    try:
        for start in range(0, len(waveform), piece):
            stream.put(waveform[start : start + piece])
            while stream.waiting_seconds > service.most_waiting_seconds and not result.done():
                computed.clear()
                await computed.wait()
        stream.end()
        final = await result
    finally:
        stream.close()
    if not isinstance(final, Final):
        raise final
    return final


def _error(status, message, headers=None):
    return JSONResponse({"error": message}, status, headers)
