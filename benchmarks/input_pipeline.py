"""Does the input keep up with training? Batches made on one core against what a step takes.

FLAC at 22.05 kHz is decoded, resampled to 16 kHz, made into features and augmented by
`keras_ds2.data`. A repetition is one pass over all files, from a standing start.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import _harness, train_step
from benchmarks._harness import Case, Contender

FILE_RATE = 22050
RATE = 16000
BATCH_SIZE = 16
HOP_MS = 10

SIZE = {"utterances": 64, "seconds": [3, 9]}
QUICK_SIZE = {"utterances": 16, "seconds": [1, 3]}


def cases(quick, step_ms):
    size = QUICK_SIZE if quick else SIZE
    step = train_step.QUICK_SIZE if quick else train_step.SIZE
    contenders = [Contender("pipeline", pipeline, size, role="other", threads=1)]
    if step_ms is None:
        contenders.append(Contender("train step", train_step.ours, step, role="other"))

    def rates(medians, _):
        seconds_per_pass = medians["pipeline"] / 1e3
        audio = sum(_durations(**size))
        taken = step["batch"] * step["frames"] * HOP_MS / medians.get("train step", step_ms)
        made = audio / seconds_per_pass
        return {
            "audio_seconds_per_second": round(made, 1),
            "utterances_per_second": round(size["utterances"] / seconds_per_pass, 1),
            "training_takes_audio_seconds_per_second": round(taken, 1),
            "made_to_taken": round(made / taken, 2),
        }

    return [
        Case(
            name="flac_to_batches",
            shapes={**size, "batch_size": BATCH_SIZE, "train_step": step},
            contenders=tuple(contenders),
            extra=rates,
        )
    ]


def _durations(utterances, seconds):
    return np.random.default_rng(0).uniform(*seconds, utterances)


def pipeline(**size):
    import tensorflow as tf

    from keras_ds2.data.augmentation import Augmentation
    from keras_ds2.data.dataset import training_dataset
    from keras_ds2.features import FeatureFrontEnd

    folder = tempfile.TemporaryDirectory()
    front_end = FeatureFrontEnd(sampling_rate=RATE, hop_ms=HOP_MS)
    augmentation = Augmentation(
        noise_share=0.5,
        noise_snr_db=(10, 30),
        gain_db=(-6, 6),
        time_warp=(0.9, 1.1),
        gaussian_noise_stddev=0.1,
        time_masks=2,
        time_mask_max_frames=25,
        frequency_masks=2,
        frequency_mask_max_bins=20,
    )
    dataset = training_dataset(
        _examples(Path(folder.name), front_end, **size),
        front_end,
        batch_size=BATCH_SIZE,
        epochs=1,
        sorta_grad=False,
        augmentation=augmentation,
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    dataset = dataset.with_options(options)

    def work():
        assert folder  # it goes when the work does
        for _ in dataset:
            pass

    return work


def _examples(folder, front_end, **size):
    from keras_ds2.data.checking import Example
    from keras_ds2.data.manifest import Utterance
    from keras_ds2.text.english import english_alphabet

    text = "as many words as may be"
    labels = english_alphabet().encode(text)
    examples = []
    for index, seconds in enumerate(_durations(**size)):
        path = folder / f"{index}.flac"
        samples = round(seconds * FILE_RATE)
        path.write_bytes(_flac(samples, seed=index))
        utterance = Utterance(str(path), None, seconds, text)
        frames = front_end.frames(-(-samples * RATE // FILE_RATE))
        examples.append(Example(utterance, text, labels, frames))
    return examples


def _flac(samples, seed):
    """Noise that falls by 6 dB an octave and swells four times a second, as speech does."""
    import tensorflow_io as tfio

    draws = np.random.default_rng(seed)
    spectrum = np.fft.rfft(draws.normal(size=samples))
    noise = np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1), samples)
    swell = np.sin(np.pi * 4 * np.arange(samples) / FILE_RATE) ** 2
    speech = noise / np.abs(noise).max() * swell
    pcm = np.round(speech * 2**14).astype(np.int16)
    return tfio.audio.encode_flac(pcm[:, np.newaxis], FILE_RATE).numpy()


if __name__ == "__main__":
    parser = _harness.parser(__doc__)
    parser.add_argument(
        "--step-ms", type=float, help="of train_step.py at its size; measured where not given"
    )
    arguments = parser.parse_args()
    _harness.run("input_pipeline", cases(arguments.quick, arguments.step_ms), arguments)
