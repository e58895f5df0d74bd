"""What the connections of a server share: the recognizer, its device, who is in, who may come."""

import asyncio
import concurrent.futures
import contextlib
import hmac
import logging
from collections.abc import Callable, Iterator

from keras_ds2.decoding import GreedyDecoder
from keras_ds2.recognition import Recognition, Recognizer
from keras_ds2.serving.batch_dispatch import BatchDispatch
from keras_ds2.serving.limits import Limits
from keras_ds2.serving.messages import RESTART, TRY_LATER, Refusal
from keras_ds2.serving.metrics import Metrics
from keras_ds2.streaming import StreamingError, StreamingStep, Word
from keras_ds2.streaming.greedy import GreedyStream
from keras_ds2.streaming.words import words_of

LOGGER = logging.getLogger("keras_ds2.serving")


class Service:
    """One recognizer, served.

    Args:
        recognizer: of waveforms; one that streams serves `/v1/stream` too.
        limits: None for `Limits()`.
        token: that a client has to bring; None lets everyone in.
        chunk_ms: as for `recognizer.stream`.
        log_text: whether what was recognised goes to the log.

    Attributes:
        step: None where the model cannot stream; `cannot_stream` says why.

    Raises:
        ValueError: for a model of precomputed features, or an empty token.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        limits: Limits | None = None,
        *,
        token: str | None = None,
        chunk_ms: float | None = None,
        log_text: bool = False,
    ):
        if recognizer.front_end.kind == "precomputed":
            raise ValueError(
                "this model reads precomputed features, and a server hears audio; serve a run "
                "whose features.kind is log_spectrogram"
            )
        if token is not None and not token.strip():
            raise ValueError("token: expected some characters, received none")
        self.recognizer = recognizer
        self.limits = limits or Limits()
        self.chunk_ms = chunk_ms
        self.log_text = log_text
        self.metrics = Metrics()
        self.draining = False
        self.step: StreamingStep | None = None
        self.dispatch: BatchDispatch | None = None
        self.cannot_stream = ""
        self.most_waiting_seconds = 0.0
        self._token = token.strip().encode() if token is not None else None
        self._inside: dict[object, Callable[[], None]] = {}
        self._files = 0
        self._readers = concurrent.futures.ThreadPoolExecutor(1, "decoding")
        self._device = concurrent.futures.ThreadPoolExecutor(1, "device")
        try:
            self.step = recognizer.stream(chunk_ms=chunk_ms).step
        except StreamingError as error:
            self.cannot_stream = str(error)
        else:
            # Less than a chunk can never be computed.
            least = 2 * self.step.chunk_ms / 1000
            self.most_waiting_seconds = max(self.limits.max_waiting_seconds, least)
            batch = self.limits.max_batch
            self.dispatch = BatchDispatch(self.step, batch, self.metrics.observe_batch)

    @property
    def sampling_rate(self) -> int:
        """Hz, of the model."""
        return self.recognizer.front_end.sampling_rate

    @property
    def needs_token(self) -> bool:
        """Whether a client has to bring one."""
        return self._token is not None

    def admits(self, token: str | None) -> bool:
        """Whether a token is the right one, compared in constant time."""
        if self._token is None:
            return True
        return hmac.compare_digest((token or "").encode(errors="replace"), self._token)

    def start(self) -> None:
        """Compiles what will be needed, and starts the device's thread."""
        if self.dispatch is not None:
            LOGGER.info("compiling for batches of up to %d", self.limits.max_batch)
            self.dispatch.warm_up()
            self.dispatch.start()

    def stop(self) -> None:
        """Ends the threads."""
        if self.dispatch is not None:
            self.dispatch.stop()
        for pool in (self._readers, self._device):
            pool.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def inside(self, cut_off: Callable[[], None], is_file: bool = False) -> Iterator[None]:
        """Counts a session while it lasts.

        Args:
            cut_off: called when the server has to end it.
            is_file: bool.

        Raises:
            Refusal: if there are too many, or the server is about to stop.
        """
        if self.draining:
            raise Refusal(RESTART, "the server is stopping; try again in a moment")
        full = len(self._inside) >= self.limits.max_sessions
        if full or (is_file and self._files >= self.limits.max_files):
            raise Refusal(TRY_LATER, "the server is full; try again in a moment")
        key = object()
        self._inside[key] = cut_off
        self._files += is_file
        self.metrics.sessions.set(len(self._inside))
        try:
            yield
        finally:
            del self._inside[key]
            self._files -= is_file
            self.metrics.sessions.set(len(self._inside))

    async def drain(self, hurries: Callable[[], bool] = lambda: False) -> None:
        """Lets nobody in any more; lets those inside end, or ends them after `grace_seconds`.

        Args:
            hurries: asked again and again; once it says True nobody is waited for.
        """
        self.draining = True
        if self._inside:
            LOGGER.info("stopping; %d sessions may still end", len(self._inside))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.grace_seconds):
                await self._empty(hurries)
        for cut_off in list(self._inside.values()):
            cut_off()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.send_seconds):
                await self._empty(hurries)

    async def decode(self, read: Callable, *arguments):
        """Runs what reads audio on a thread for that, one file at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, read, *arguments)

    async def recognize(self, waveform) -> Recognition:
        """Recognises a whole recording on the device's thread: of a model that cannot stream."""
        loop = asyncio.get_running_loop()
        rate = self.sampling_rate
        return await loop.run_in_executor(self._device, self.recognizer.recognize, waveform, rate)

    def words(self, recognition: Recognition) -> list[Word]:
        """Words with times and confidence of a whole recording; none but of greedy decoding."""
        if not isinstance(self.recognizer.decoder, GreedyDecoder):
            return []
        alphabet = self.recognizer.alphabet
        stream = GreedyStream(alphabet)
        stream.accept(recognition.log_probs)
        return words_of(stream.symbols, alphabet, recognition.step_ms)

    async def _empty(self, hurries):
        while self._inside and not hurries():
            await asyncio.sleep(0.02)
