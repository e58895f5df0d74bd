"""The page in a browser: microphone, file, keyboard, what a screen reader is told."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import keras_ds2.serving
from keras_ds2.streaming.session import StreamingSession
from tests.audio.made_up_audio import wav
from tests.serving.browser import browser
from tests.serving.made_up_server import (
    KIND,
    bidirectional,
    pcm,
    service_of,
    serving,
    wait_until,
)
from tests.streaming.made_up_streams import RATE, recognizer

PAGE = Path(keras_ds2.serving.__file__).parent / "page"
SPEECH = pcm(24000, seed=2)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """What the fake microphone says."""
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    path.write_bytes(wav(SPEECH / 32768, RATE))
    return path


@pytest.fixture(scope="module")
def chromium(recording, tmp_path_factory):
    with browser(
        tmp_path_factory.mktemp("chromium"),
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}",
        "--autoplay-policy=no-user-gesture-required",
    ) as page:
        yield page


@pytest.fixture(scope="module")
def server():
    with serving() as made:
        yield made


@pytest.fixture
def page(chromium, server):
    """Opened, and complained of nothing in the end."""
    chromium.events.clear()
    chromium.open(server.url)
    chromium.wait_for("!document.getElementById('speak').disabled")
    yield chromium
    assert chromium.complaints() == []
    assert all(each.startswith((server.url, "data:")) for each in chromium.requested())


def text_of(page, name):
    return page.value(f"document.getElementById({name!r}).textContent")


def choose(page, path):
    node = page.call("DOM.getDocument")["root"]["nodeId"]
    file = page.call("DOM.querySelector", nodeId=node, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(path)], nodeId=file)


def paint(page):
    """How many colours the picture has."""
    return page.value(
        """(() => {
            const canvas = document.getElementById('spectrogram');
            const { width, height } = canvas;
            const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size;
        })()"""
    )


@pytest.mark.slow
class TestPage:
    def test_a_file_becomes_text_and_a_picture(self, page, recording):
        assert paint(page) == 1
        choose(page, recording)
        page.wait_for("document.getElementById('status').textContent === 'Done'")
        # The browser decodes and the page makes int16 of it: the samples are the file's own.
        assert text_of(page, "stable") == recognizer(KIND).transcribe(str(recording)) != ""
        assert text_of(page, "tentative") == ""
        assert text_of(page, "heard") == "3.00 s"
        assert text_of(page, "delay").endswith(" s")
        assert paint(page) > 20
        assert page.value("document.querySelectorAll('#stable span[title]').length") > 0
        if folder := os.environ.get("KERAS_DS2_SCREENSHOTS"):
            Path(folder, "page.png").write_bytes(page.screenshot())

    def test_the_microphone_by_the_keyboard_alone(self, page, server):
        page.press("Tab")
        assert page.value("document.activeElement.id") == "speak"
        page.press("Enter")
        page.wait_for("document.getElementById('stable').textContent.length > 3")
        assert page.value("document.activeElement.getAttribute('aria-pressed')") == "true"
        assert text_of(page, "speak-label") == "Stop"
        assert text_of(page, "status") == "Listening"
        assert text_of(page, "behind").endswith(" s")
        before = text_of(page, "stable")
        page.press(" ")
        page.wait_for("document.getElementById('status').textContent === 'Done'")
        assert text_of(page, "stable").startswith(before)
        assert paint(page) > 20
        wait_until(lambda: not service_of(server)._inside)
        assert page.value("document.getElementById('speak').disabled") is False

    def test_a_file_is_opened_and_its_text_copied_by_the_keyboard_alone(self, page, recording):
        page.call("Page.setInterceptFileChooserDialog", enabled=True)
        page.press("Tab")
        page.press("Tab")
        assert page.value("document.activeElement.id") == "file"
        assert "solid" in page.value(
            "getComputedStyle(document.getElementById('file-label')).outlineStyle"
        )
        page.press("Enter")

        def choosers():
            page.value("0")  # events come with answers
            return [each for each in page.events if each["method"] == "Page.fileChooserOpened"]

        wait_until(choosers)
        (chooser,) = choosers()
        page.call("Page.setInterceptFileChooserDialog", enabled=False)
        page.call(
            "DOM.setFileInputFiles",
            files=[str(recording)],
            backendNodeId=chooser["params"]["backendNodeId"],
        )
        page.wait_for("document.getElementById('status').textContent === 'Done'")
        page.press("Tab")
        assert page.value("document.activeElement.id") == "copy"
        page.value(
            """(() => {
                window.copied = [];
                navigator.clipboard.writeText = async (text) => { window.copied.push(text); };
            })()"""
        )
        page.press("Enter")
        page.wait_for("document.getElementById('status').textContent === 'Copied'")
        assert page.value("window.copied") == [text_of(page, "stable")] != [""]
        page.value("navigator.clipboard.writeText = async () => { throw new Error('no'); }")
        page.press("Enter")
        page.wait_for("document.getElementById('status').textContent.startsWith('Selected')")
        assert page.value("getSelection().toString()") == text_of(page, "stable")

    def test_what_the_microphone_hears_is_what_the_server_gets(self, page, monkeypatch):
        heard, put = [], StreamingSession.put

        def listen(session, samples):
            heard.append(np.asarray(samples, np.float64))
            put(session, samples)

        monkeypatch.setattr(StreamingSession, "put", listen)
        page.press("Tab")
        page.press("Enter")
        wait_until(lambda: sum(map(len, heard)) > 4 * RATE)
        page.press("Enter")
        page.wait_for("document.getElementById('status').textContent === 'Done'")
        # The fake microphone says the file again and again, begun anywhere, as loud as it likes.
        got = np.concatenate(heard)[RATE : RATE + 8192]
        said = np.tile(SPEECH, 2).astype(np.float64)
        products = np.correlate(said, got, "valid")
        energies = np.convolve(said**2, np.ones(len(got)), "valid") * (got @ got)
        assert np.max(products / np.sqrt(energies)) > 0.8

    def test_stopped_before_it_is_allowed_the_microphone_stays_closed(self, page, server):
        page.value(
            """(() => {
                const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                window.asked = window.opened = null;
                navigator.mediaDevices.getUserMedia = async (wanted) => {
                    await new Promise((resolve) => { window.asked = resolve; });
                    window.opened = await real(wanted);
                    return window.opened;
                };
            })()"""
        )
        page.press("Tab")
        page.press("Enter")
        page.wait_for("window.asked !== null")
        assert not service_of(server)._inside
        page.press("Enter")
        page.wait_for("document.getElementById('status').textContent === 'Stopped'")
        page.value("window.asked()")
        page.wait_for(
            "window.opened?.getTracks().every((track) => track.readyState === 'ended') === true"
        )
        assert not service_of(server)._inside
        assert text_of(page, "speak-label") == "Speak"

    def test_what_a_screen_reader_is_told(self, page):
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        told = {
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored")
        }
        assert ("heading", "Speech to text") in told
        assert ("button", "Speak") in told
        assert any(role == "button" and "Open a file" in name for role, name in told)
        assert any(name.startswith("Spectrogram of the sound") for _, name in told)
        assert page.value("document.documentElement.lang") == "en"
        assert page.value("document.querySelector('#stable').ariaLive") == "polite"
        assert page.value("document.querySelector('#tentative').ariaHidden") == "true"
        assert page.value("document.querySelector('#fault').getAttribute('role')") == "alert"

    def test_a_fault_is_told_and_one_can_go_on(self, page, recording, tmp_path):
        (tmp_path / "notes.txt").write_text("no sound")
        choose(page, tmp_path / "notes.txt")
        page.wait_for("!document.getElementById('fault').hidden")
        assert text_of(page, "fault") == "notes.txt: this browser cannot read it as audio"
        choose(page, recording)
        page.wait_for("document.getElementById('status').textContent === 'Done'")
        assert page.value("document.getElementById('fault').hidden") is True

    def test_it_fits_a_narrow_screen(self, page):
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=360, height=740, deviceScaleFactor=1, mobile=True,
        )  # fmt: skip
        assert page.value("document.documentElement.scrollWidth") <= 360
        page.call("Emulation.clearDeviceMetricsOverride")

    def test_a_token_is_asked_for(self, chromium, recording):
        with serving(token="sesame") as server:
            chromium.open(server.url)
            chromium.wait_for("!document.getElementById('token-form').hidden")
            choose(chromium, recording)
            chromium.wait_for("!document.getElementById('fault').hidden")
            assert text_of(chromium, "fault").startswith("token: expected the server's own")
            chromium.value("document.getElementById('token').value = 'sesame'")
            choose(chromium, recording)
            chromium.wait_for("document.getElementById('status').textContent === 'Done'")
        chromium.open("about:blank")

    def test_a_model_that_reads_the_whole(self, chromium, recording):
        with serving(bidirectional()) as server:
            chromium.open(server.url)
            chromium.wait_for("!document.getElementById('speak').disabled")
            assert "reads a whole recording" in text_of(chromium, "facts")
            choose(chromium, recording)
            chromium.wait_for("document.getElementById('status').textContent === 'Done'")
            assert text_of(chromium, "stable") == bidirectional().transcribe(str(recording))
        chromium.open("about:blank")


def test_the_page_asks_nothing_of_others():
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text
        assert "https://" not in text
        assert " style=" not in text
        assert "innerHTML" not in text


@pytest.mark.parametrize(("rate_in", "rate_out"), [(48000, 16000), (44100, 16000), (8000, 16000)])
def test_resampling_keeps_what_is_below_and_drops_what_is_above(rate_in, rate_out):
    if not shutil.which("node"):
        pytest.skip("no node here runs JavaScript")
    code = """
        require(process.argv[1]);
        const [rateIn, rateOut, pitch] = process.argv.slice(2).map(Number);
        const resampler = new Resampler(rateIn, rateOut);
        const out = [];
        for (let start = 0; start < rateIn; start += 128) {
            const block = Float32Array.from({ length: 128 }, (_, n) =>
                Math.sin(2 * Math.PI * pitch * (start + n) / rateIn));
            out.push(...resampler.push(block));
        }
        console.log(out.map((value) => value.toFixed(6)).join(" "));
    """

    def resampled(pitch):
        command = ["node", "-e", code, str(PAGE / "microphone.js")]
        numbers = [str(number) for number in (rate_in, rate_out, pitch)]
        done = subprocess.run([*command, *numbers], capture_output=True, text=True, check=True)
        return np.array(done.stdout.split(), np.float64)

    for pitch in (300, 2900):
        found = resampled(pitch)
        wanted = np.sin(2 * np.pi * pitch * np.arange(len(found)) / rate_out)
        assert abs(len(found) - rate_out) < 300
        np.testing.assert_allclose(found[50:-50], wanted[50:-50], atol=0.01)
    if rate_out < rate_in:
        assert np.abs(resampled(0.55 * rate_out)[50:-50]).max() < 0.01
