"""Files for shells, Slurm and Kubernetes: well formed, and each worker gets its own place."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from keras_ds2.cli import main
from keras_ds2.training.cluster import addresses, read_cluster
from keras_ds2.training.machines import FORMATS, format_machines

HOSTS = ["node1", "10.0.0.2"]
WORKERS = addresses(HOSTS, 7000)
COMMAND = ["keras-ds2", "train", "my recipe.yaml", "--output", "runs/a b"]
GIVEN = {"recipe": COMMAND[2], "output": COMMAND[4]}


def bash(script, **environment):
    return subprocess.run(
        ["bash", "-euc", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def assert_cluster(text, index):
    cluster = read_cluster({"TF_CONFIG": text})
    assert (cluster.workers, cluster.index) == (WORKERS, index)


def test_each_shell_gets_its_own_place_and_the_same_command():
    first, second = format_machines(WORKERS, "env", **GIVEN).split("\n\n")
    for index, part in enumerate((first, second)):
        assert part.startswith(f"# on {HOSTS[index]}")
        script = f"keras-ds2() {{ printf '%s\\n' keras-ds2 \"$@\"; }}\n{part}\necho $TF_CONFIG"
        *command, config = bash(script).splitlines()
        assert command == [*COMMAND, "--set", "training.strategy=multi_worker"]
        assert_cluster(config, index)


def test_slurms_file_starts_every_node_with_its_own_place(tmp_path):
    text = format_machines(WORKERS, "slurm", **GIVEN)
    assert "#SBATCH --nodes=2\n" in text
    assert "#SBATCH --nodelist=node1,10.0.0.2\n" in text
    (tmp_path / "job").write_text(text)
    subprocess.run(["bash", "-n", tmp_path / "job"], check=True)
    stand_ins = {
        "scontrol": 'test "$*" = "show hostnames node[1-2]"; printf "%s\\n" node1 10.0.0.2',
        "srun": 'shift; for i in 0 1; do SLURM_NODEID=$i "$@"; done',
        "keras-ds2": f'[ $1 = machines ] && exec {sys.executable} -m keras_ds2.cli "$@"\n'
        'echo "$TF_CONFIG"; printf "%s\\n" keras-ds2 "$@"',
    }
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    said = bash(
        f"bash {tmp_path / 'job'}",
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        SLURM_JOB_NODELIST="node[1-2]",
    ).splitlines()
    half = len(said) // 2
    for index, (config, *command) in enumerate((said[:half], said[half:])):
        assert_cluster(config, index)
        assert command == [*COMMAND, "--set", "training.strategy=multi_worker"]


def test_kubernetes_gets_a_pod_a_machine():
    pods = list(yaml.safe_load_all(format_machines(WORKERS, "kubernetes", image="me/ds2", **GIVEN)))
    assert len({pod["metadata"]["name"] for pod in pods}) == len(pods) == 2
    for index, pod in enumerate(pods):
        assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": HOSTS[index]}
        assert pod["spec"]["restartPolicy"] == "OnFailure"
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "me/ds2"
        assert container["command"][:5] == COMMAND
        (variable,) = container["env"]
        assert variable["name"] == "TF_CONFIG"
        assert_cluster(variable["value"], index)


class TestCommand:
    @pytest.mark.parametrize("form", FORMATS)
    def test_prints_them(self, capsys, form):
        arguments = ["--port", "7000", "--format", form, "--recipe", COMMAND[2]]
        assert main(["machines", *HOSTS, *arguments, "--output", COMMAND[4]]) == 0
        assert capsys.readouterr().out == format_machines(WORKERS, form, **GIVEN)

    def test_or_one_machines_value(self, capsys):
        assert main(["machines", *HOSTS, "--port", "7000", "--index", "1"]) == 0
        text = capsys.readouterr().out
        assert_cluster(text, 1)
        json.loads(text)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a:1"], "expected a host's name or address without a port"),
            (["a", "--port", "0"], "a port from 1 to 65535"),
            (["a", "b", "--index", "2"], "--index: expected 0 to 1, received 2"),
        ],
    )
    def test_says_what_is_wrong(self, capsys, arguments, message):
        assert main(["machines", *arguments]) == 1
        assert message in capsys.readouterr().err
