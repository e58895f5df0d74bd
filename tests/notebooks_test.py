"""Every notebook runs from its first cell to its last."""

import json
import shutil
import sys
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs the extra notebooks")
nbformat = pytest.importorskip("nbformat", reason="needs the extra notebooks")
pytest.importorskip("espeakng_loader", reason="needs the extra demo")

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def run(path, folder):
    """Executes a copy, with the Python that runs the tests; returns what its cells printed."""
    copy = folder / path.name
    shutil.copy(path, copy)
    notebook = nbformat.read(copy, as_version=4)
    kernel = folder / "kernels" / "tests"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    content = {"argv": command, "display_name": "tests", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(content))
    client = nbclient.NotebookClient(
        notebook, timeout=400, kernel_name="tests", resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager()
    client.km.kernel_spec_manager.kernel_dirs.insert(0, str(kernel.parent))
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quickstart_goes_from_speech_to_transcript(tmp_path):
    printed = run(NOTEBOOKS / "00_quickstart.ipynb", tmp_path)
    rate = float(printed.split("WER ")[-1].split(" %")[0])
    assert rate <= 30.0


def test_every_notebook_is_run_by_a_test():
    assert [path.name for path in NOTEBOOKS.glob("*.ipynb")] == ["00_quickstart.ipynb"]
