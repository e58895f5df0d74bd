"""Speech to text with a trained run."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_ds2.audio.io import AudioError, is_silent, read_audio, resample
from keras_ds2.data.features_file import read_features
from keras_ds2.decoding import GreedyDecoder, Hypothesis
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.recognition.run_folder import WEIGHTS, RunFolderError, read_configuration
from keras_ds2.streaming import StreamingError, StreamingSession, StreamingStep
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.weights_file import check_weights_file


@dataclasses.dataclass(frozen=True)
class Recognition:
    """What was recognised in one recording, and how.

    Attributes:
        text: the words.
        hypothesis: the decoder's reading, with the step of each symbol.
        seconds: length of the recording.
        step_ms: from one step to the next, in ms.
        waveform: float32 `(samples,)` at the model's rate, trimmed where the front end trims; None
            for precomputed features.
        features: float32 `(frames, bins)`.
        log_probs: float32 `(steps, vocabulary_size)`.
    """

    text: str
    hypothesis: Hypothesis
    seconds: float
    step_ms: float
    waveform: np.ndarray | None
    features: np.ndarray
    log_probs: np.ndarray


class Recognizer:
    """Turns recordings into text.

    Args:
        model: trained.
        front_end: the one it was trained with.
        alphabet: the one it was trained with.
        decoder: None for `GreedyDecoder`. One of your own streams if it has a method `stream()`,
            which gives a fresh reader with the face of `streaming.greedy.GreedyStream`.
        precision: "float32" or "int16", of the recurrent weights of streams: see `StreamingStep`.

    Example:
        >>> recognizer = keras_ds2.Recognizer.load("runs/demo")
        >>> recognizer.transcribe("speech.flac")
        'turn on the kitchen lamp'
        >>> recognizer.transcribe(samples, sampling_rate=44100)
    """

    def __init__(
        self,
        model: DeepSpeech2,
        front_end: FeatureFrontEnd,
        alphabet: Alphabet,
        decoder=None,
        precision: str = "float32",
    ):
        self.model = model
        self.front_end = front_end
        self.alphabet = alphabet
        self.decoder = decoder or GreedyDecoder(alphabet)
        self.precision = precision
        self._steps: dict[float | None, StreamingStep] = {}
        self._front = tf.function(front_end, reduce_retracing=True)
        self._model = tf.function(
            lambda inputs: model(inputs, training=False),
            [
                {
                    "features": tf.TensorSpec((None, None, model.num_bins), tf.float32),
                    "feature_length": tf.TensorSpec((None,), tf.int32),
                }
            ],
        )

    @classmethod
    def load(cls, run: str | os.PathLike, precision: str = "float32") -> "Recognizer":
        """Loads the best weights of a run folder.

        Args:
            run: a folder that `keras-ds2 train` wrote. It may come from a stranger: nothing in it
                is run as code.
            precision: "float32" or "int16", of the recurrent weights of streams: the second takes
                less time on processors, see `StreamingStep`.

        Returns:
            The recognizer.

        Raises:
            RunFolderError: if the folder is not a run, has no weights yet, or cannot be read.
        """
        configuration = read_configuration(run)
        model = configuration["model"]
        load_best_weights(model, run)
        return cls(
            model, configuration["front_end"], configuration["alphabet"], precision=precision
        )

    def transcribe(self, source, sampling_rate: int | None = None) -> str:
        """Gives the text of one recording: `recognize(...).text`; arguments and errors as there."""
        return self.recognize(source, sampling_rate).text

    def recognize(self, source, sampling_rate: int | None = None) -> Recognition:
        """Recognises one recording.

        Args:
            source: the path or the bytes of a WAV, FLAC, MP3 or Ogg Vorbis file of any rate, or a
                waveform: an array `(samples,)`, float in [-1, 1] or int16. For a model of
                precomputed features: the path of a `.npy` file, or an array `(frames, num_bins)`.
            sampling_rate: Hz, of a waveform; files state their own.

        Returns:
            A `Recognition`.

        Raises:
            AudioError: if the recording cannot be read, is silent or shorter than one window.
            FeaturesError: if precomputed features cannot be read.
            ValueError: if a waveform comes without its rate, or in another shape.
        """
        if self.front_end.kind == "precomputed":
            waveform, inputs = None, self._read_features(source)
            seconds = len(inputs) * self.front_end.hop_ms / 1000
        else:
            waveform = self.read_waveform(source, sampling_rate)
            seconds = len(waveform) / self.front_end.sampling_rate
            waveform = inputs = np.asarray(self.front_end.trim(waveform))
        features = tf.cast(self._front(tf.constant(inputs)[tf.newaxis]), tf.float32)
        frames = tf.shape(features)[1:2]
        outputs = self._model({"features": features, "feature_length": frames})
        hypothesis = self.decoder.decode(outputs["logits"], outputs["logit_length"])[0]
        return Recognition(
            text=hypothesis.text,
            hypothesis=hypothesis,
            seconds=seconds,
            step_ms=self.model.step_ms,
            waveform=waveform,
            features=features[0].numpy(),
            log_probs=tf.nn.log_softmax(outputs["logits"][0]).numpy(),
        )

    def stream(
        self,
        sampling_rate: int | None = None,
        *,
        chunk_ms: float | None = None,
        endpoint_ms: float | None = None,
        state: bytes | None = None,
        loudest: float | None = None,
    ) -> StreamingSession:
        """Starts to listen: samples in as they come, text out as it settles.

        The first session of a chunk's length compiles the step that all of them share.

        Args:
            sampling_rate: Hz, of the samples to come, where it is known: an error if it is not the
                model's, since nothing is resampled here; None for the model's.
            chunk_ms: float > 0, of the piece that is computed at a time: short ones answer sooner,
                long ones take less computing; None for `StreamingStep`'s.
            endpoint_ms: float > 0, of silence after speech that make an endpoint; None for
                `StreamingSession`'s.
            state: what `to_bytes` of a session of the same model gave, to go on from.
            loudest: float > 0, samples further from 0 are refused; None for `StreamingSession`'s,
                `math.inf` to take what files hold, as `transcribe` does.

        Returns:
            A `StreamingSession`.

        Raises:
            StreamingError: for a bidirectional model, features that need a whole utterance, or a
                decoder that does not stream.
            ValueError: for another rate, a state of something else, or an unknown precision.

        Example:
            >>> session = recognizer.stream()
            >>> session.accept(samples).text
            'turn on the ki'
            >>> session.finish().text
            'turn on the kitchen lamp'
        """
        expected = self.front_end.sampling_rate
        if sampling_rate is not None and self.front_end.kind == "precomputed":
            raise ValueError(
                "sampling_rate: this model reads precomputed features, not waveforms: expected "
                f"None, received {sampling_rate!r}"
            )
        if sampling_rate not in (None, expected):
            raise ValueError(
                f"sampling_rate: expected the model's {expected} Hz, received {sampling_rate!r}; "
                "record at that rate, or resample before accept"
            )
        decoder = self._stream_decoder()
        if chunk_ms not in self._steps:
            given = {} if chunk_ms is None else {"chunk_ms": chunk_ms}
            self._steps[chunk_ms] = StreamingStep(
                self.model, self.front_end, precision=self.precision, **given
            )
        given = {"endpoint_ms": endpoint_ms, "loudest": loudest}
        given = {name: value for name, value in given.items() if value is not None}
        session = StreamingSession(self._steps[chunk_ms], self.alphabet, decoder=decoder, **given)
        if state is not None:
            session.restore(state)
        return session

    def read_waveform(self, source, sampling_rate: int | None = None) -> np.ndarray:
        """Reads a recording as `recognize` does: float32 `(samples,)` at the model's rate.

        Args:
            source: path, bytes or waveform, as for `recognize`.
            sampling_rate: Hz, of a waveform.

        Raises:
            AudioError, ValueError: as for `recognize`.
        """
        rate = self.front_end.sampling_rate
        if isinstance(source, str | os.PathLike | bytes):
            name = "audio bytes" if isinstance(source, bytes) else os.fspath(source)
            waveform = read_audio(source, rate)
        else:
            name = "waveform"
            waveform = _as_waveform(source, sampling_rate)
            waveform = resample(tf.constant(waveform), sampling_rate, rate).numpy()
        if is_silent(waveform):
            raise AudioError(f"{name}: silent, every sample is 0; check the recording")
        if not self.front_end.frames(len(waveform)):
            raise AudioError(
                f"{name}: {len(waveform)} samples at {rate} Hz are shorter than one window of "
                f"{self.front_end.window_ms:g} ms"
            )
        return waveform

    def _stream_decoder(self):
        """A fresh decoder for a session, None for the session's own: what `decoder` would say."""
        if hasattr(self.decoder, "stream"):
            return self.decoder.stream()
        if type(self.decoder) is GreedyDecoder:
            return None
        raise StreamingError(
            f"decoder: {type(self.decoder).__name__} reads whole recordings and cannot stream: it "
            "has no method stream(); take GreedyDecoder, or give it one"
        )

    def _read_features(self, source):
        if isinstance(source, str | os.PathLike):
            return read_features(source, self.front_end.num_bins)
        features = np.asarray(source, dtype=np.float32)
        expected = self.front_end.num_bins
        if features.ndim != 2 or features.shape[1] != expected or not len(features):
            raise ValueError(
                f"features: expected shape (frames, {expected}), received {features.shape}; this "
                "model reads precomputed features, not waveforms"
            )
        if not np.isfinite(features).all():
            raise ValueError("features: expected finite values, received NaN or infinity")
        return features


def load_best_weights(model: DeepSpeech2, run: str | os.PathLike) -> None:
    """Loads a run's best weights into its model.

    Raises:
        RunFolderError: if there are none yet, or they cannot be read.
    """
    path = Path(run) / WEIGHTS
    if not path.is_file():
        raise RunFolderError(
            f"{run}: holds no {WEIGHTS} yet: no epoch of its training has ended; run the same "
            "keras-ds2 train again"
        )
    try:
        check_weights_file(path)
        model.load_weights(path)
    except Exception as error:  # h5py raises many kinds over a damaged file
        raise RunFolderError(f"{path}: cannot be read as this model's weights: {error}") from error


def _as_waveform(array, sampling_rate):
    if sampling_rate is None:
        raise ValueError(
            "sampling_rate: expected the waveform's rate in Hz, received None; a rate is never "
            "guessed: pass sampling_rate=16000 or whatever the samples were taken at"
        )
    if not (sampling_rate > 0 and sampling_rate == int(sampling_rate)):
        raise ValueError(
            f"sampling_rate: expected a whole number of Hz > 0, received {sampling_rate!r}"
        )
    waveform = np.asarray(array)
    if waveform.ndim != 1 or not waveform.size:
        raise ValueError(
            f"waveform: expected shape (samples,), one channel, received {waveform.shape}; take "
            "the mean over the channels first"
        )
    if waveform.dtype == np.int16:
        return waveform.astype(np.float32) / 32768
    if waveform.dtype.kind != "f":
        raise ValueError(f"waveform: expected float in [-1, 1] or int16, received {waveform.dtype}")
    if not np.isfinite(waveform).all():
        raise ValueError("waveform: expected finite samples, received NaN or infinity")
    return waveform.astype(np.float32)
