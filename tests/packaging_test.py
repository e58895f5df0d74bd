"""What a user installs: declared dependencies, a wheel that works away from the checkout."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from keras_ds2.recipe import recipe_names

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

NEEDED_BY_OTHERS = {"setuptools"}  # TensorBoard imports its pkg_resources
ROOM_OF_EXTRA = {"serving": "serve"}  # a room that is no use without its extra


def distributions(requirements):
    names = (re.match(r"[\w.-]+", requirement).group() for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


@cache
def module_sources():
    """Distributions of each top-level module that is installed."""
    return importlib.metadata.packages_distributions()


def imported(statements):
    """Distributions that a file's imports come from, those of the standard library left out."""
    modules = set()
    for node in statements:
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module.split(".")[0])
    names = (
        module_sources().get(m, [m])[0] for m in modules - sys.stdlib_module_names - {"keras_ds2"}
    )
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


COPIED_AWAY = ROOT / "keras_ds2" / "export" / "client.py"
"""Runs where keras_ds2 is not; it says itself what it wants there."""


def package_files():
    return sorted((ROOT / "keras_ds2").rglob("*.py"))


def test_what_is_imported_is_declared():
    needed = distributions(PROJECT["dependencies"])
    optional = distributions(chain(*PROJECT["optional-dependencies"].values()))
    used = set()
    for path in package_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_import, anywhere = imported(tree.body), imported(ast.walk(tree))
        extra = PROJECT["optional-dependencies"].get(ROOM_OF_EXTRA.get(path.parent.name), ())
        allowed = needed | distributions(extra)
        assert at_import <= allowed, f"{path} imports {at_import - allowed}, no dependency"
        unknown = anywhere - needed - optional
        assert not unknown or path == COPIED_AWAY, f"{path} imports {unknown}"
        used |= anywhere
    assert needed - used == NEEDED_BY_OTHERS


def test_every_file_and_room_is_a_module_of_the_package():
    for path in package_files():
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"
        assert path.name != "utils.py", f"{path}: name the one thing it holds"


def set_up_venv(folder, python):
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "pyproject.toml", folder)
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(
        [folder / ".ci" / "set_up_venv"], env=environment, capture_output=True, text=True
    )


def test_a_python_of_another_version_is_refused_with_the_remedy(tmp_path):
    python = tmp_path / "python3.9"
    python.write_text('#!/bin/sh\ncase "$*" in *platform*) echo 3.9.1;; *) exit 1;; esac\n')
    python.chmod(0o755)
    result = set_up_venv(tmp_path, python)
    assert result.returncode == 1
    assert f"PYTHON={python} is Python 3.9.1" in result.stderr
    assert "needs Python 3.11 or 3.12" in result.stderr
    assert "apt install python3.12" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_does_not_run_is_refused(tmp_path):
    result = set_up_venv(tmp_path, tmp_path / "nowhere")
    assert result.returncode == 1
    assert f"PYTHON={tmp_path / 'nowhere'} does not run" in result.stderr


def test_set_up_and_package_ask_for_the_same_python():
    assert PROJECT["requires-python"] == ">=3.11,<3.13"
    script = (ROOT / ".ci" / "set_up_venv").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] < (3, 13)" in script


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder that holds the package, installed from a wheel built here."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("keras_ds2-*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def run_away(installed, folder, *command):
    """Runs Python in `folder` with the installed package before anything else."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_wheel_holds_the_package_its_recipes_and_its_licence(installed):
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"keras_ds2", "bin"}
    assert (installed / "keras_ds2" / "serving" / "page" / "index.html").is_file()
    assert (next(installed.glob("*.dist-info")) / "licenses" / "LICENSE").is_file()


def test_an_installed_wheel_works_outside_the_checkout(installed, tmp_path):
    code = (
        "import json, keras_ds2, keras_ds2.recipe as r;"
        "print(json.dumps([keras_ds2.__file__, r.recipe_names(),"
        " [r.load_recipe(r.find_recipe(name)).name for name in r.recipe_names()]]))"
    )
    result = run_away(installed, tmp_path, "-c", code)
    assert result.returncode == 0, result.stderr
    file, names, loaded = json.loads(result.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(installed)
    assert names == recipe_names()
    assert len(loaded) == len(names) > 0
    command = run_away(installed, tmp_path, installed / "bin" / "keras-ds2", "--help")
    assert command.returncode == 0, command.stderr
    assert "train" in command.stdout
