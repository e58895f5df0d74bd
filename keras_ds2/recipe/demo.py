"""The demo: a corpus, a trained model, its score, transcripts and a picture."""

import json
import os
from pathlib import Path

from rich.console import Console

from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.data.corpora.spoken_commands import make_spoken_commands
from keras_ds2.data.manifest import read_manifest
from keras_ds2.evaluation.picture import save_recognition_picture
from keras_ds2.evaluation.report import report_dict
from keras_ds2.evaluation.training_curves import save_training_curves
from keras_ds2.recipe.load import find_recipe, load_recipe
from keras_ds2.recipe.train import train_recipe
from keras_ds2.recognition.evaluation import evaluate_run, print_evaluation
from keras_ds2.recognition.recognizer import Recognizer
from keras_ds2.training.progress import counting

NUM_WORDS, NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 800, 1400, 60, 150


def run_demo(output: str | os.PathLike, console: Console) -> None:
    """Does the whole road; what an earlier call left is gone on with.

    Args:
        output: folder; `corpus/` and `run/` stand in it, and `score.json`, `recognition.png` and
            `training.png`.
        console: for progress.

    Raises:
        ImportError: if the extra `demo` is not installed.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    total = NUM_WORDS + NUM_TRAIN + NUM_VALIDATION + NUM_TEST
    with counting(console, "speaking", total) as advance:
        manifests = make_spoken_commands(
            folder / "corpus",
            num_words=NUM_WORDS,
            num_train=NUM_TRAIN,
            num_validation=NUM_VALIDATION,
            num_test=NUM_TEST,
            progress=lambda done, in_all: advance(),
        )
    recipe = load_recipe(find_recipe("demo"), [f"data.folder={json.dumps(str(folder / 'corpus'))}"])
    run = folder / "run"
    train_recipe(recipe, run, console)
    save_training_curves(folder / "training.png", run / "log.csv")

    console.rule("test: voices not heard in training")
    result = evaluate_run(run, manifests["test"])
    score = result.evaluation.score
    write_text_atomically(folder / "score.json", json.dumps(report_dict(score), indent=1) + "\n")
    print_evaluation(result, console)

    console.rule("three test files")
    recognizer = Recognizer.load(run)
    utterances = read_manifest(manifests["test"])
    shown = [utterances[len(utterances) * part // 4] for part in (1, 2, 3)]
    for utterance in shown:
        recognition = recognizer.recognize(utterance.filepath)
        console.print(
            f"{utterance.filepath}\n  said  {utterance.text}\n  read  {recognition.text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    save_recognition_picture(
        folder / "recognition.png",
        recognition.waveform,
        recognizer.front_end.sampling_rate,
        recognition.features,
        recognition.log_probs,
        recognizer.alphabet.symbols,
        recognition.text,
        utterance.text,
        step_ms=recognition.step_ms,
        hop_ms=recognizer.front_end.hop_ms,
    )
    console.print(
        f"\ntest {result.primary.upper()} {100 * getattr(score, result.primary):.1f} %; pictures "
        f"{folder / 'recognition.png'} and {folder / 'training.png'}\n"
        f"now try: keras-ds2 transcribe {run} YOUR_RECORDING.wav",
        highlight=False,
        soft_wrap=True,
    )
