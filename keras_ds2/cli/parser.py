"""The arguments of each command, and the help that goes with them."""

import argparse
import dataclasses

from keras_ds2.cli import commands
from keras_ds2.serving.limits import Limits


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser; what it parses has `run`, of `commands`, and `needs_tensorflow`."""
    parser = argparse.ArgumentParser("keras-ds2", description="Deep Speech 2 in Keras 3")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, name, text):
        added = subparsers.add_parser(name, help=text, description=text)
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

    def live_precision(command):
        command.add_argument(
            "--precision",
            choices=("float32", "int16"),
            default="float32",
            help="of the recurrent weights (float32); int16 takes less time on a processor",
        )

    train = command(commands.train, "train", "train a recipe, or go on with its run")
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

    inspect = command(
        commands.inspect, "inspect", "show what training will see: figures, pictures, sounds"
    )
    inspect.add_argument("recipe", help="as for train")
    inspect.add_argument(
        "--output", default="runs/inspect", metavar="DIR", help="folder of inspect.html"
    )
    inspect.add_argument("--samples", type=int, metavar="N", help="utterances to see and to hear")
    change_keys(inspect)

    machines = command(
        commands.machines,
        "machines",
        "print what starts training on several machines, and TF_CONFIG",
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
        commands.data_service,
        "data-service",
        "make the batches of training that runs on other machines",
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

    evaluate = command(commands.evaluate, "evaluate", "score a run on a manifest: WER and CER")
    evaluate.add_argument("run_folder", metavar="RUN")
    evaluate.add_argument(
        "--manifest", metavar="FILE", help="JSON lines; if left out, the recipe's test_manifest"
    )
    evaluate.add_argument("--batch-size", type=int, default=16, metavar="N")
    evaluate.add_argument("--by-speaker", action="store_true", help="score each speaker too")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    transcribe = command(commands.transcribe, "transcribe", "write down recordings")
    transcribe.add_argument("run_folder", metavar="RUN")
    transcribe.add_argument(
        "files", nargs="+", metavar="FILE", help="WAV, FLAC, MP3, Ogg Vorbis; a folder; - for stdin"
    )
    transcribe.add_argument("--json", action="store_true", help="print a JSON object a line")

    stream = command(commands.stream, "stream", "write down a recording while it is heard")
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
    live_precision(stream)
    stream.add_argument(
        "--picture", metavar="PNG", help="draw when each word of a short recording settled"
    )
    stream.add_argument("--json", action="store_true", help="print a JSON object a chunk")

    serve = command(commands.serve, "serve", "recognise live speech and files over the network")
    serve.add_argument("run_folder", metavar="RUN")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="(127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, metavar="N", help="(8000); 0: a free one")
    serve.add_argument("--chunk-ms", type=float, metavar="MS", help="computed at a time")
    live_precision(serve)
    serve.add_argument("--tls-certificate", metavar="FILE", help="PEM, with its chain")
    serve.add_argument("--tls-key", metavar="FILE", help="PEM")
    serve.add_argument(
        "--log-text", action="store_true", help="write what was recognised to the log"
    )
    serve.epilog = f"With {commands.TOKEN} set, clients have to bring that token."
    bounds = serve.add_argument_group("bounds")
    for field in dataclasses.fields(Limits):
        bounds.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=field.type,
            default=field.default,
            metavar="N",
            help=f"{field.metadata['meaning']} ({field.default:g})",
        )

    export = command(commands.export, "export", "write a run as a model for other programs")
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
        commands.demo, "demo", "make a corpus of speech, train on it, transcribe, draw a picture"
    )
    demo.add_argument("--output", default="runs/demo", metavar="DIR")

    recipes = command(commands.recipes, "recipes", "list the recipes that come with keras_ds2")
    recipes.add_argument("--keys", action="store_true", help="list every key a recipe can hold")
    return parser


def _count(text):
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, received {text}")
    return int(text)
