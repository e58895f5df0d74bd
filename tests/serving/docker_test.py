"""The container's files hold together: no Docker is needed to see it."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from keras_ds2.cli import commands
from keras_ds2.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "keras_ds2" / "serving" / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def instructions():
    """`(name, arguments)` of each, comments left out, lines joined."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


@pytest.fixture(scope="module")
def service():
    content = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    (service,) = content["services"].values()
    return service


def all_of(instructions, name):
    return [arguments for each, arguments in instructions if each == name]


def copied_from_outside(instructions):
    return {
        source
        for arguments in all_of(instructions, "COPY")
        if not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }


def test_what_is_copied_is_there_and_is_all_that_a_wheel_needs(instructions):
    copied = copied_from_outside(instructions)
    assert all((ROOT / source).exists() for source in copied)
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "keras_ds2"}
    assert needed | {"recipes"} == copied


def test_it_serves_as_nobody_in_particular_and_is_looked_after(instructions):
    (entry,) = map(json.loads, all_of(instructions, "ENTRYPOINT"))
    assert entry[0] in PROJECT["scripts"]
    chosen = build_parser().parse_args(entry[1:])
    assert chosen.run is commands.serve
    assert (chosen.run_folder, chosen.host, chosen.port) == ("/model", "0.0.0.0", 8000)
    (user,) = all_of(instructions, "USER")
    assert int(user) > 0
    (health,) = all_of(instructions, "HEALTHCHECK")
    assert f"http://127.0.0.1:{chosen.port}/healthz" in health
    assert all_of(instructions, "EXPOSE") == [str(chosen.port)]
    (extra,) = re.findall(r"whl\)\[(\w+)\]", " ".join(all_of(instructions, "RUN")))
    assert extra in PROJECT["optional-dependencies"]
    python = re.match(r"python:(\d+)\.(\d+)", all_of(instructions, "FROM")[-1])
    assert PROJECT["requires-python"] == ">=3.11,<3.13"
    assert tuple(map(int, python.groups())) in {(3, 11), (3, 12)}


def test_compose_builds_it_and_publishes_to_this_machine_alone(service):
    context = (FOLDER / service["build"]["context"]).resolve()
    assert context == ROOT
    assert context / service["build"]["dockerfile"] == FOLDER / "Dockerfile"
    (published,) = service["ports"]
    assert published == "127.0.0.1:8000:8000"
    (volume,) = service["volumes"]
    assert (volume["type"], volume["target"], volume["read_only"]) == ("bind", "/model", True)
    assert volume["source"].startswith("${KERAS_DS2_RUN:?")  # a must
    assert volume["bind"] == {"create_host_path": False}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert commands.TOKEN in service["environment"]


def test_linters_have_nothing_to_say():
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint's package has no program for this kind of machine")
    ended = subprocess.run(
        [hadolint, "--failure-threshold", "style", FOLDER / "Dockerfile"],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_the_compose_file_is_of_composes_schema():
    compose_spec = pytest.importorskip("compose_spec")
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{[^}]*\}", "/runs/live", text)  # variables are filled in before
    (service,) = compose_spec.PyCompose.from_yaml(text).to_spec().services.values()
    assert service.read_only is True
    with pytest.raises(ValueError, match="read_onlyy"):
        compose_spec.PyCompose.from_yaml(text.replace("    read_only:", "    read_onlyy:"))


def test_nothing_else_is_sent_to_the_builder(instructions):
    lines = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert kept == copied_from_outside(instructions)
