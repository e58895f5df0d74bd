"""What each command does: from parsed arguments and a console to the exit status.

Each imports what it needs itself, for some of it takes seconds.
"""

import contextlib
import dataclasses
import json
import os
import sys

from keras_ds2.serving.limits import Limits

TOKEN = "KERAS_DS2_TOKEN"
"""Environment variable of what a server asks for and a client brings."""


def train(chosen, console):
    """Trains a recipe, in this process or in several."""
    if chosen.workers > 1:
        return _train_in_workers(chosen)
    from keras_ds2.recipe import find_recipe, load_recipe
    from keras_ds2.recipe.train import train_recipe

    recipe = load_recipe(find_recipe(chosen.recipe), chosen.set)
    train_recipe(recipe, chosen.output, console, init_from=chosen.init_from)
    console.print(f"done: {chosen.output}", highlight=False, soft_wrap=True)
    return 0


def machines(chosen, console):
    """Prints what starts training on several machines."""
    from keras_ds2.training.cluster import Cluster, addresses
    from keras_ds2.training.machines import PORT, format_machines

    workers = addresses(chosen.hosts, PORT if chosen.port is None else chosen.port)
    if chosen.index is None:
        given = {key: getattr(chosen, key) for key in ("recipe", "output", "image")}
        given = {key: value for key, value in given.items() if value is not None}
        print(format_machines(workers, chosen.format, **given), end="")
    elif 0 <= chosen.index < len(workers):
        print(Cluster(workers, chosen.index).tf_config())
    else:
        last = len(workers) - 1
        raise ValueError(f"--index: expected 0 to {last}, received {chosen.index}")
    return 0


def data_service(chosen, console):
    """Makes the batches of training that runs elsewhere, until it is stopped."""
    from keras_ds2.data.service_process import run_data_service

    keys = ("dispatcher", "worker", "port", "dispatcher_address", "worker_port", "host")
    return run_data_service(
        lambda line: console.print(line, highlight=False, soft_wrap=True),
        **{key: getattr(chosen, key) for key in keys},
    )


def inspect(chosen, console):
    """Shows what training will see."""
    from keras_ds2.recipe import find_recipe, load_recipe
    from keras_ds2.recipe.inspect import inspect_recipe

    recipe = load_recipe(find_recipe(chosen.recipe), chosen.set)
    samples = {} if chosen.samples is None else {"samples": chosen.samples}
    inspect_recipe(recipe, chosen.output, console, **samples)
    return 0


def _train_in_workers(chosen):
    from keras_ds2.recipe import find_recipe, load_recipe
    from keras_ds2.training.launcher import launch

    changes = [*chosen.set, "training.strategy=multi_worker"]
    load_recipe(find_recipe(chosen.recipe), changes)  # its faults are told once
    command = [sys.executable, "-m", "keras_ds2.cli", "train", chosen.recipe]
    command += ["--output", chosen.output]
    command += [] if chosen.init_from is None else ["--init-from", chosen.init_from]
    command += [part for change in changes for part in ("--set", change)]
    return launch(command, chosen.workers)


def evaluate(chosen, console):
    """Scores a run on a manifest."""
    from keras_ds2.evaluation.report import report_dict
    from keras_ds2.recipe.output_folder import test_manifest
    from keras_ds2.recognition.evaluation import evaluate_run, print_evaluation

    manifest = chosen.manifest or test_manifest(chosen.run_folder)
    result = evaluate_run(chosen.run_folder, manifest, batch_size=chosen.batch_size)
    if chosen.json:
        print(json.dumps(report_dict(result.evaluation.score)))
    else:
        print_evaluation(result, console, by_speaker=chosen.by_speaker)
    return 0


def transcribe(chosen, console):
    """Writes recordings down; 1 where one of them could not be read."""
    from keras_ds2.recognition import Recognizer
    from keras_ds2.recognition.transcription import transcribe_files

    failures = 0
    for path, result in transcribe_files(Recognizer.load(chosen.run_folder), chosen.files):
        if isinstance(result, ValueError):
            failures += 1
            print(f"keras-ds2: {result}", file=sys.stderr)
            if chosen.json:
                print(json.dumps({"file": path, "error": str(result)}, ensure_ascii=False))
        elif chosen.json:
            row = {"file": path, "text": result.text, "seconds": round(result.seconds, 3)}
            row["log_prob"] = round(result.hypothesis.log_prob, 4)
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            print(f"{path}\t{result.text}", flush=True)
    return 1 if failures else 0


def stream(chosen, console):
    """Writes a recording down while it is heard, by a run or by a server."""
    options = {"endpoint_ms": chosen.endpoint_ms, "realtime": chosen.realtime}
    if "://" in chosen.run_or_url:
        for option, default in (("chunk_ms", None), ("precision", "float32")):
            if getattr(chosen, option) != default:
                name = option.replace("_", "-")
                raise ValueError(f"--{name}: a server has its own; give it to keras-ds2 serve")
        if chosen.picture is not None:
            raise ValueError("--picture: expected a run folder, received the URL of a server")
        with _extra("serve"):
            from keras_ds2.serving.client import show_server_stream
        token = os.environ.get(TOKEN) or None
        show_server_stream(
            chosen.run_or_url, chosen.file, console, as_json=chosen.json, token=token, **options
        )
        return 0
    from keras_ds2.recognition import Recognizer
    from keras_ds2.recognition.live import show_stream

    recognizer = Recognizer.load(chosen.run_or_url, chosen.precision)
    options.update(chunk_ms=chosen.chunk_ms, picture=chosen.picture)
    show_stream(recognizer, chosen.file, console, as_json=chosen.json, **options)
    return 0


def serve(chosen, console):
    """Serves a run until it is stopped."""
    from keras_ds2.recognition import Recognizer

    with _extra("serve"):
        from keras_ds2.serving.run import serve_recognizer
    names = [field.name for field in dataclasses.fields(Limits)]
    return serve_recognizer(
        Recognizer.load(chosen.run_folder, chosen.precision),
        Limits(**{name: getattr(chosen, name) for name in names}),
        host=chosen.host,
        port=chosen.port,
        certificate=chosen.tls_certificate,
        key=chosen.tls_key,
        chunk_ms=chosen.chunk_ms,
        token=os.environ.get(TOKEN) or None,
        log_text=chosen.log_text,
    )


def export(chosen, console):
    """Writes a run for other programs."""
    from keras_ds2.export.run import export_run

    options = {key: getattr(chosen, key) for key in ("chunk_ms", "precision", "streams")}
    said = export_run(chosen.run_folder, chosen.format, chosen.output, **options)
    names = " and ".join(said["signatures"])
    console.print(f"{chosen.output}: {names}", highlight=False, soft_wrap=True)
    return 0


@contextlib.contextmanager
def _extra(name):
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"this command needs {error.name}; install it with: pip install 'keras-ds2[{name}]'"
        ) from error


def demo(chosen, console):
    """Goes the whole road once."""
    from keras_ds2.recipe.demo import run_demo

    run_demo(chosen.output, console)
    return 0


def recipes(chosen, console):
    """Lists the recipes, or their keys."""
    from keras_ds2.recipe import format_recipe_keys, load_recipe, recipe_names, recipes_folder

    if chosen.keys:
        print(format_recipe_keys())
        return 0
    for name in recipe_names():
        print(f"{name}\t{load_recipe(recipes_folder() / f'{name}.yaml').description}")
    return 0
