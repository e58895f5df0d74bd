"""The `keras-ds2` command: parses arguments, calls, prints."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from keras_ds2.quiet import import_tensorflow
from keras_ds2.serving.limits import Limits

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell's."""

_TOKEN = "KERAS_DS2_TOKEN"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: what stands behind `keras-ds2`; None for the process's own.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, 75 when another worker of the same
        training has died, 130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    if not chosen.needs_tensorflow(chosen):
        return _run_light(chosen)
    import_tensorflow()
    from rich.console import Console

    from keras_ds2.training.agreement import WorkerLost
    from keras_ds2.training.callbacks import TrainingError, TrainingInterrupted
    from keras_ds2.training.launcher import LOST

    console = Console()
    try:
        return chosen.run(chosen, console)
    except TrainingInterrupted:
        console.print("stopped, nothing is lost: the same command goes on from here")
    except KeyboardInterrupt:
        console.print("stopped")
    except WorkerLost as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return LOST
    except (ValueError, TrainingError, ImportError, OSError) as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return 1
    return INTERRUPTED


def _run_light(chosen):
    """Runs a command that computes nothing itself, without waiting for TensorFlow."""
    try:
        return chosen.run(chosen, None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser("keras-ds2", description="Deep Speech 2 in Keras 3")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, name, text):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run, needs_tensorflow=lambda chosen: True)
        return added

    def change_keys(command):
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="in place of what the recipe says, such as model.units=512; may be repeated",
        )

    train = command(_train, "train", "train a recipe, or go on with its run")
    train.add_argument("recipe", help="a recipe's name (see keras-ds2 recipes) or YAML file")
    train.add_argument("--output", required=True, metavar="DIR", help="run folder")
    change_keys(train)
    train.add_argument(
        "--init-from",
        metavar="RUN",
        help="begin with the best weights of another run, as far as they fit; logits by symbol",
    )
    train.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="train in N processes on this machine, with a GPU each or on the processor (1)",
    )
    train.set_defaults(needs_tensorflow=lambda chosen: chosen.workers == 1)

    inspect = command(_inspect, "inspect", "show what training will see: figures, pictures, sounds")
    inspect.add_argument("recipe", help="as for train")
    inspect.add_argument(
        "--output", default="runs/inspect", metavar="DIR", help="folder of inspect.html"
    )
    inspect.add_argument("--samples", type=int, metavar="N", help="utterances to see and to hear")
    change_keys(inspect)

    machines = command(
        _machines, "machines", "print what starts training on several machines, and TF_CONFIG"
    )
    machines.add_argument("hosts", nargs="+", metavar="HOST", help="the chief first")
    machines.add_argument("--port", type=int, metavar="PORT", help="that all listen at (12345)")
    machines.add_argument(
        "--format", choices=("env", "slurm", "kubernetes"), default="env", help="(env)"
    )
    machines.add_argument("--recipe", metavar="RECIPE", help="to stand in it")
    machines.add_argument("--output", metavar="DIR", help="run folder, to stand in it")
    machines.add_argument("--image", metavar="IMAGE", help="of kubernetes, to stand in it")
    machines.add_argument(
        "--index", type=int, metavar="I", help="print the value of TF_CONFIG of this host alone"
    )
    machines.set_defaults(needs_tensorflow=lambda chosen: False)

    data_service = command(
        _data_service, "data-service", "make the batches of training that runs on other machines"
    )
    data_service.add_argument(
        "--dispatcher", action="store_true", help="hand out what is to be made; one for all"
    )
    data_service.add_argument(
        "--worker", action="store_true", help="make it, on all cores; may be the same process"
    )
    data_service.add_argument(
        "--port", type=int, default=0, metavar="N", help="of the dispatcher (0: a free one)"
    )
    data_service.add_argument(
        "--dispatcher-address", metavar="HOST:PORT", help="of a worker: where its dispatcher is"
    )
    data_service.add_argument(
        "--worker-port", type=int, default=0, metavar="N", help="of the worker (0: a free one)"
    )
    data_service.add_argument(
        "--host", metavar="NAME", help="by which those who train reach this machine"
    )
    data_service.epilog = (
        "Whoever reaches these ports can have files read here: for a network you trust alone."
    )

    evaluate = command(_evaluate, "evaluate", "score a run on a manifest: WER and CER")
    evaluate.add_argument("run_folder", metavar="RUN")
    evaluate.add_argument("--manifest", required=True, metavar="FILE", help="JSON lines")
    evaluate.add_argument("--batch-size", type=int, default=16, metavar="N")
    evaluate.add_argument("--by-speaker", action="store_true", help="score each speaker too")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    transcribe = command(_transcribe, "transcribe", "write down recordings")
    transcribe.add_argument("run_folder", metavar="RUN")
    transcribe.add_argument(
        "files", nargs="+", metavar="FILE", help="WAV, FLAC, MP3, Ogg Vorbis; a folder; - for stdin"
    )
    transcribe.add_argument("--json", action="store_true", help="print a JSON object a line")

    stream = command(_stream, "stream", "write down a recording while it is heard")
    stream.add_argument(
        "run_or_url",
        metavar="RUN",
        help="a run folder, or the URL of a server: http://127.0.0.1:8000",
    )
    stream.add_argument(
        "file",
        metavar="FILE",
        help="WAV, FLAC, MP3, Ogg Vorbis; - for raw int16 samples at the model's rate from stdin",
    )
    stream.add_argument("--realtime", action="store_true", help="as slowly as it was spoken")
    stream.add_argument("--chunk-ms", type=float, metavar="MS", help="computed at a time")
    stream.add_argument("--endpoint-ms", type=float, metavar="MS", help="silence that ends speech")
    stream.add_argument("--json", action="store_true", help="print a JSON object a chunk")

    serve = command(_serve, "serve", "recognise live speech and files over the network")
    serve.add_argument("run_folder", metavar="RUN")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="(127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, metavar="N", help="(8000); 0: a free one")
    serve.add_argument("--chunk-ms", type=float, metavar="MS", help="computed at a time")
    serve.add_argument("--tls-certificate", metavar="FILE", help="PEM, with its chain")
    serve.add_argument("--tls-key", metavar="FILE", help="PEM")
    serve.add_argument(
        "--log-text", action="store_true", help="write what was recognised to the log"
    )
    serve.epilog = f"With {_TOKEN} set, clients have to bring that token."
    bounds = serve.add_argument_group("bounds")
    for field in dataclasses.fields(Limits):
        bounds.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=field.type,
            default=field.default,
            metavar="N",
            help=f"{field.metadata['meaning']} ({field.default:g})",
        )

    export = command(_export, "export", "write a run as a model for other programs")
    export.add_argument("run_folder", metavar="RUN")
    formats = ("saved_model", "tflite", "onnx", "triton")
    export.add_argument("--format", required=True, choices=formats)
    export.add_argument("--output", required=True, metavar="PATH", help="folder to write")
    export.add_argument(
        "--precision",
        choices=("float32", "float16", "int8"),
        help="of the weights, but for saved_model (float32)",
    )
    export.add_argument(
        "--chunk-ms", type=float, metavar="MS", help="that step computes at a time, as for stream"
    )
    export.add_argument(
        "--streams",
        type=_count,
        metavar="N",
        help="that step advances together (1); for triton at the most (16)",
    )

    demo = command(
        _demo, "demo", "make a corpus of speech, train on it, transcribe, draw a picture"
    )
    demo.add_argument("--output", default="runs/demo", metavar="DIR")

    recipes = command(_recipes, "recipes", "list the recipes that come with keras_ds2")
    recipes.add_argument("--keys", action="store_true", help="list every key a recipe can hold")
    return parser


def _train(chosen, console):
    if chosen.workers > 1:
        return _train_in_workers(chosen)
    from keras_ds2.recipe import find_recipe, load_recipe
    from keras_ds2.recipe.train import train_recipe

    recipe = load_recipe(find_recipe(chosen.recipe), chosen.set)
    train_recipe(recipe, chosen.output, console, init_from=chosen.init_from)
    console.print(f"done: {chosen.output}", highlight=False, soft_wrap=True)
    return 0


def _machines(chosen, console):
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


def _data_service(chosen, console):
    from keras_ds2.data.service_process import run_data_service

    keys = ("dispatcher", "worker", "port", "dispatcher_address", "worker_port", "host")
    return run_data_service(
        lambda line: console.print(line, highlight=False, soft_wrap=True),
        **{key: getattr(chosen, key) for key in keys},
    )


def _inspect(chosen, console):
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


def _count(text):
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, received {text}")
    return int(text)


def _evaluate(chosen, console):
    from keras_ds2.evaluation.report import report_dict
    from keras_ds2.recognition.evaluation import evaluate_run, print_evaluation

    result = evaluate_run(chosen.run_folder, chosen.manifest, batch_size=chosen.batch_size)
    if chosen.json:
        print(json.dumps(report_dict(result.evaluation.score)))
    else:
        print_evaluation(result, console, by_speaker=chosen.by_speaker)
    return 0


def _transcribe(chosen, console):
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


def _stream(chosen, console):
    options = {"endpoint_ms": chosen.endpoint_ms, "realtime": chosen.realtime}
    if "://" in chosen.run_or_url:
        if chosen.chunk_ms is not None:
            raise ValueError("--chunk-ms: a server has its own; give it to keras-ds2 serve")
        with _extra("serve"):
            from keras_ds2.serving.client import show_server_stream
        token = os.environ.get(_TOKEN) or None
        show_server_stream(
            chosen.run_or_url, chosen.file, console, as_json=chosen.json, token=token, **options
        )
        return 0
    from keras_ds2.recognition import Recognizer
    from keras_ds2.recognition.live import show_stream

    recognizer = Recognizer.load(chosen.run_or_url)
    options["chunk_ms"] = chosen.chunk_ms
    show_stream(recognizer, chosen.file, console, as_json=chosen.json, **options)
    return 0


def _serve(chosen, console):
    from keras_ds2.recognition import Recognizer

    with _extra("serve"):
        from keras_ds2.serving.run import serve_recognizer
    names = [field.name for field in dataclasses.fields(Limits)]
    return serve_recognizer(
        Recognizer.load(chosen.run_folder),
        Limits(**{name: getattr(chosen, name) for name in names}),
        host=chosen.host,
        port=chosen.port,
        certificate=chosen.tls_certificate,
        key=chosen.tls_key,
        chunk_ms=chosen.chunk_ms,
        token=os.environ.get(_TOKEN) or None,
        log_text=chosen.log_text,
    )


def _export(chosen, console):
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


def _demo(chosen, console):
    from keras_ds2.recipe.demo import run_demo

    run_demo(chosen.output, console)
    return 0


def _recipes(chosen, console):
    from keras_ds2.recipe import format_recipe_keys, load_recipe, recipe_names, recipes_folder

    if chosen.keys:
        print(format_recipe_keys())
        return 0
    for name in recipe_names():
        print(f"{name}\t{load_recipe(recipes_folder() / f'{name}.yaml').description}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
