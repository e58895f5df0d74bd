"""The recipe's keys: names, types, ranges, defaults, and what each means.

A key whose default is `None` leaves the choice to the builder it is passed to (`build_model`,
`FeatureFrontEnd`, the dataset, the trainer), where that default lives; `Section.given()` holds only
what was set.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from keras_ds2.recipe.cross_checks import (
    augmentation_faults,
    data_faults,
    features_faults,
    recipe_faults,
    text_faults,
    training_faults,
)
from keras_ds2.recipe.key_types import (
    AboveOne,
    AboveZero,
    AtLeastTwo,
    AtLeastZero,
    Count,
    CountPerLayer,
    Dispatcher,
    MaybeEmptyText,
    OpenShare,
    Order,
    Positive,
    PositiveRange,
    Range,
    Share,
    SizePerLayer,
    Switch,
    Text,
    Texts,
    WholeShare,
)


class Section(BaseModel):
    """One part of a recipe: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    #: Faults that need more than one key: `(mapping as read) -> (key, message)` pairs.
    cross_check: ClassVar[Any] = staticmethod(lambda values: ())

    def given(self, *leave_out: str) -> dict[str, Any]:
        """Keyword arguments for a builder: the keys that hold a value, without `leave_out`."""
        values = self.model_dump(exclude=set(leave_out))
        return {key: value for key, value in values.items() if value is not None}


class DataSection(Section):
    """Which utterances train, validate and test."""

    cross_check: ClassVar[Any] = staticmethod(data_faults)

    folder: Text = Field(".", description="folder that the manifests are relative to")
    train_manifest: Text = Field(description="manifest (JSON lines) to train on")
    validation_manifest: Text | None = Field(
        None, description="manifest to choose by; or one of the next two"
    )
    validation_speakers: Texts | None = Field(
        None, description="speakers of train_manifest held out to choose by"
    )
    validation_share: OpenShare | None = Field(
        None, description="share of train_manifest held out to choose by, drawn by seed"
    )
    validation_split_by: Literal["speaker", "utterance"] = Field(
        "speaker", description="what validation_share counts and keeps together"
    )
    test_manifest: Text | None = Field(
        None, description="manifest that `keras-ds2 evaluate RUN` scores"
    )
    min_seconds: AtLeastZero = Field(0.0, description="shorter training utterances are left out")
    max_seconds: AboveZero | None = Field(
        None, description="longer training utterances are left out"
    )
    unknown_symbols: Literal["error", "skip"] = Field(
        "error",
        description="an utterance with a symbol outside the alphabet: stop, or leave it out",
    )
    on_error: Literal["skip", "stop"] = Field(
        "skip",
        description="an utterance that was sound at the start and cannot be read later: pass over "
        "it, or stop",
    )
    max_error_share: Share | None = Field(
        None, description="of all utterances, how many may fail so in an epoch before it stops"
    )
    service: Dispatcher | None = Field(
        None,
        description="grpc://HOST:PORT of keras-ds2 data-service, which makes the batches "
        "from the same paths",
    )
    how_to_get: Text = Field(
        description="said when the data are not there: where to get them, what layout"
    )

    def path(self, key: str) -> Path | None:
        """Path of a manifest (`"train_manifest"` ...): inside `folder` unless absolute.

        Args:
            key: name of a key of this section that holds a path.

        Returns:
            The path, or `None` where the recipe names none.
        """
        value = getattr(self, key)
        return None if value is None else self.in_folder(value)

    def in_folder(self, path: str) -> Path:
        """A path that a recipe names: inside `folder` unless absolute."""
        return Path(self.folder).expanduser() / Path(path).expanduser()


class TextSection(Section):
    """What is written, and in which symbols."""

    cross_check: ClassVar[Any] = staticmethod(text_faults)

    language: Literal["english", "mandarin", "none"] = Field(
        description="how transcripts are normalised before anything else"
    )
    alphabet: Literal["english", "mandarin", "transcripts"] = Field(
        description="symbols: the 28 English ones; characters of the transcripts and Roman "
        "letters; just what the transcripts hold"
    )
    min_count: Positive = Field(1, description="a character seen less often in train is no symbol")


class FeaturesSection(Section):
    """What the model hears."""

    cross_check: ClassVar[Any] = staticmethod(features_faults)

    kind: Literal["log_spectrogram", "precomputed"] = Field(
        "log_spectrogram", description="computed from waveforms, or read from features_filepath"
    )
    sampling_rate: Positive | None = Field(None, description="Hz; all audio is resampled to it")
    window_ms: AboveZero | None = Field(None, description="length of the analysis window")
    hop_ms: AboveZero | None = Field(None, description="time from one frame to the next")
    epsilon: AboveZero | None = Field(
        None, description="added to the power before the logarithm; speech has about 1"
    )
    trim_db: AboveZero | None = Field(
        None, description="silence this far below the loudest part is cut off before and after"
    )
    num_bins: Positive | None = Field(None, description="width of precomputed features")
    deltas: Order | None = Field(
        None, description="orders of differences in time appended to the bins"
    )
    normalization: Literal["utterance", "corpus", "running", "none"] | None = Field(
        None,
        description="where the mean and deviation of each bin come from; running: the frames so "
        "far, for live use",
    )
    normalization_prior_frames: Positive | None = Field(
        None, description="running: frames that the corpus's mean and deviation count for"
    )
    normalization_memory_frames: Positive | None = Field(
        None, description="running: frames after which the past fades"
    )
    power_normalize: Switch | None = Field(
        None,
        description="each waveform to unit power first, which needs all of it; off where running",
    )


class AugmentationSection(Section):
    """What changes a training utterance each time it is heard; all off unless set."""

    cross_check: ClassVar[Any] = staticmethod(augmentation_faults)

    speed: PositiveRange | None = Field(
        None, description="[min, max] rate of the waveform, 1.1 = a tenth faster and higher"
    )
    shift_ms: Range | None = Field(
        None,
        description="[min, max] starts earlier (below 0) or later; the length stays, so that much "
        "is cut off at the other end",
    )
    rir_share: WholeShare = Field(0.0, description="share of utterances played in a room")
    rir_manifest: Text | None = Field(
        None, description="manifest of the rooms' impulse responses, in data.folder"
    )
    noise_share: WholeShare = Field(0.0, description="share of utterances that noise is added to")
    noise_snr_db: Range | None = Field(None, description="[min, max] signal-to-noise ratio, dB")
    noise_manifest: Text | None = Field(
        None,
        description="manifest of recorded noise, in data.folder, held in memory up to 512 MiB; "
        "without it noise is made up",
    )
    noise_color: Literal["white", "pink"] | None = Field(
        None, description="of noise that is made up: as strong at all frequencies, or falling"
    )
    gain_db: Range | None = Field(
        None,
        description="[min, max] gain, dB, clipped to full scale; power-normalised features undo "
        "a gain that does not overload",
    )
    vocal_tract: PositiveRange | None = Field(
        None,
        description="[min, max] length of the vocal tract over the speaker's own; "
        "above 1 formants fall",
    )
    time_warp: PositiveRange | None = Field(
        None, description="[min, max] rate of the features, 1.1 = a tenth faster"
    )
    gaussian_noise_stddev: AtLeastZero = Field(
        0.0, description="deviation of noise on the features"
    )
    time_masks: Count = Field(0, description="masks in time per utterance")
    time_mask_max_frames: Positive | None = Field(None, description="longest mask in time, frames")
    frequency_masks: Count = Field(0, description="masks in frequency per utterance")
    frequency_mask_max_bins: Positive | None = Field(
        None, description="widest mask in frequency, bins"
    )


class ModelSection(Section):
    """The network: a variant and the numbers in which it differs."""

    variant: Literal["english", "mandarin", "production"] = Field(description="base configuration")
    num_conv_layers: Positive | None = Field(None, description="convolutions before the recurrence")
    conv_type: Literal["2d", "1d"] | None = Field(
        None, description="over time and frequency, or over time alone"
    )
    conv_filters: CountPerLayer | None = Field(None, description="filters, one per convolution")
    conv_kernel_size: SizePerLayer | None = Field(
        None, description="[time, bins] per convolution; of 1d, a number each"
    )
    conv_strides: SizePerLayer | None = Field(
        None, description="[time, bins] per convolution; of 1d, a number each"
    )
    num_rnn_layers: Positive | None = Field(None, description="recurrent layers")
    units: Positive | None = Field(None, description="units of each recurrent layer and direction")
    rnn_type: Literal["relu", "gru"] | None = Field(None, description="kind of recurrence")
    bidirectional: Switch | None = Field(None, description="hears both ways, or forward only")
    batch_norm: Switch | None = Field(None, description="sequence-wise batch normalisation")
    batch_norm_momentum: Share | None = Field(None, description="of its moving statistics")
    dense_units: Count | None = Field(
        None, description="fully connected layer before the logits, 0 = none"
    )
    lookahead_context: Count | None = Field(
        None, description="future steps seen after the recurrence"
    )
    max_value: AboveZero | None = Field(None, description="upper clip of every ReLU")
    dropout: Share | None = Field(None, description="share of activations dropped in training")
    recurrent_initializer: Literal["orthogonal", "identity"] | None = Field(
        None, description="of the recurrent weights"
    )
    recurrent_gain: AboveZero | None = Field(
        None, description="multiplies the initial recurrent weights"
    )


class TrainingSection(Section):
    """How the weights are found."""

    cross_check: ClassVar[Any] = staticmethod(training_faults)

    epochs: Positive = Field(description="passes over the training data at most")
    batch_size: Positive | None = Field(
        None,
        description="utterances per step, on all replicas of all workers together; or the next",
    )
    batch_frames: Positive | None = Field(
        None,
        description="frames per step at most, padding counted: many short utterances or few "
        "long ones",
    )
    accumulate_steps: Positive = Field(
        1, description="batches whose mean gradient makes one update; all other keys count batches"
    )
    strategy: Literal["default", "mirrored", "multi_worker"] = Field(
        "default",
        description="one device; all devices of this machine; the machines in TF_CONFIG",
    )
    replicas: Positive | None = Field(
        None,
        description="mirrored: devices to use, not set = all GPUs; without a GPU, logical ones to "
        "make of the processor",
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="Keras optimizer")
    learning_rate: AboveZero = Field(description="highest rate")
    warmup_steps: Count = Field(0, description="steps in which the rate rises from 0")
    schedule: Literal["constant", "cosine", "annealed"] = Field(
        "constant", description="the rate after that: flat, cosine to 0, divided after each epoch"
    )
    anneal_factor: AboveOne | None = Field(
        None, description="annealed: divides the rate after each epoch"
    )
    momentum: Share | None = Field(None, description="sgd only")
    nesterov: Switch | None = Field(None, description="sgd only")
    weight_decay: AtLeastZero | None = Field(None, description="decoupled decay of the weights")
    clip_norm: AboveZero | None = Field(None, description="largest norm of all gradients together")
    ema_momentum: OpenShare | None = Field(
        None,
        description="of a moving average of the weights, which is then scored and kept; "
        "rises as steps / (steps + 9) to it",
    )
    average_best: AtLeastTwo | None = Field(
        None,
        description="at the end the average of so many best epochs is tried, and the better kept",
    )
    early_stop_patience: Positive | None = Field(
        None, description="epochs without a better score before it stops; null = never"
    )
    monitor: Literal["wer", "cer", "loss"] = Field(
        "wer", description="validation score that says which epoch is best"
    )
    seed: Count = Field(0, description="of weights, order, augmentation and held-out speakers")
    sorta_grad: Switch = Field(True, description="first epoch from short to long utterances")
    num_buckets: Positive | None = Field(None, description="widths that batches are padded to")
    on_nan: Literal["stop", "skip"] = Field(
        "stop",
        description="a batch whose loss or gradient is not finite: stop before it, or pass over "
        "it, but not over many in a row",
    )
    save_minutes: AtLeastZero | None = Field(
        None, description="minutes between checkpoints inside an epoch; 0 = after every step"
    )
    keep_checkpoints: Positive | None = Field(
        None, description="how many of the newest checkpoints are kept"
    )
    mixed_precision: Literal["mixed_float16", "mixed_bfloat16"] | None = Field(
        None, description="Keras dtype policy; null = float32"
    )


class EvaluationSection(Section):
    """What is reported."""

    primary: Literal["wer", "cer"] = Field(
        "wer", description="the rate that progress and reports lead with"
    )


class Recipe(Section):
    """A whole training run: data, text, features, model, training."""

    cross_check: ClassVar[Any] = staticmethod(recipe_faults)

    name: Text = Field(description="of the recipe, shown in reports")
    description: MaybeEmptyText = Field("", description="what it trains and what to expect")
    data: DataSection
    text: TextSection
    features: FeaturesSection = Field(default_factory=FeaturesSection)
    augmentation: AugmentationSection = Field(default_factory=AugmentationSection)
    model: ModelSection
    training: TrainingSection
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)

    def with_absolute_folder(self) -> "Recipe":
        """The same recipe with `data.folder` absolute: it means the same from any directory."""
        folder = str(Path(self.data.folder).expanduser().resolve())
        return self.model_copy(update={"data": self.data.model_copy(update={"folder": folder})})


def cross_faults(
    section: type[Section], values: Mapping[str, Any], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Faults that need more than one key, of a section and the sections in it.

    Args:
        section: class that `values` is read as.
        values: mapping as it stands in the file; may hold anything.
        place: keys that lead to it.

    Yields:
        Place of the key at fault, and the message.
    """
    for key, message in section.cross_check(values):
        yield (*place, *key.split(".")), message
    for key, field in section.model_fields.items():
        inner = values.get(key)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            inner = {} if inner is None and not field.is_required() else inner
            if isinstance(inner, Mapping):
                yield from cross_faults(field.annotation, inner, (*place, key))
