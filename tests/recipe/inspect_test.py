"""What `keras-ds2 inspect` prints and writes is what training sees."""

import base64
import html.parser
import io
import json
import re

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from keras_ds2.audio.io import read_audio, read_audio_file
from keras_ds2.data.dataset import training_dataset
from keras_ds2.inspection.sample import choose, take_sample
from keras_ds2.recipe.build import build
from keras_ds2.recipe.inspect import InspectionError, inspect_recipe
from tests.audio.made_up_audio import wav
from tests.made_up_corpus import (
    RATE,
    TEXTS,
    audio_changes,
    audio_corpus,
    features_corpus,
    spoken,
    tiny_recipe,
    write_manifest_lines,
)

BAD = {
    "silent.wav": (wav(np.zeros(4000), RATE), "bad"),
    "short.wav": (wav(spoken("a")[:100], RATE), "a"),
    "broken.wav": (b"no audio", "bad"),
    "unknown.wav": (wav(spoken("bad"), RATE), "bжd"),
    "unfit.wav": (wav(spoken("a"), RATE), "abcdabcdabcd"),
}
VOID = {"meta", "img", "line", "rect"}


class Page(html.parser.HTMLParser):
    """A page's elements: `(tag, attributes)`; every tag that opens must close in its turn."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self):
        return " ".join(self.words)


def inspect(recipe, output, **options):
    said = io.StringIO()
    found = inspect_recipe(recipe, output, Console(file=said, width=160), **options)
    return found, said.getvalue(), Page((output / "inspect.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """A recipe of audio, faults of each kind in its training data; a clipped recording too."""
    folder = tmp_path_factory.mktemp("audio")
    manifest = audio_corpus(folder)
    audio_corpus(folder, ("bad", "cab"), "validation", seed=100)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    bad = {**BAD, "loud <b>.wav": (wav(np.clip(9 * spoken("dad"), -1, 1), RATE), "dad")}
    for name, (content, text) in bad.items():
        (folder / name).write_bytes(content)
        rows.append({"audio_filepath": name, "duration": 0.3, "text": text, "speaker": "speaker 1"})
    write_manifest_lines(manifest, rows)
    return tiny_recipe(
        folder,
        **audio_changes(),
        text__alphabet="english",
        augmentation__noise_share=1.0,
        augmentation__noise_snr_db=[0, 0],
        augmentation__time_warp=[0.8, 0.8],
        description="tones <script>alert(1)</script>",
    )


@pytest.fixture(scope="module")
def inspected(audio, tmp_path_factory):
    return inspect(audio, tmp_path_factory.mktemp("page"), samples=3)


class TestAudio:
    def test_all_that_stands_out_is_found_and_said(self, inspected):
        found, said, page = inspected
        assert {kind: len(each) for kind, each in found.skipped.items()} == dict.fromkeys(
            ("broken", "silent", "short", "symbols", "unfit"), 1
        )
        assert [each.utterance.line for each in found.clipped] == [18]
        assert found.clipped[0].sound.clipped_share > 0.5
        rates = {rate for _, rate, _ in found.portions[0].sounds}
        assert rates == {8000, 11025, 16000}
        assert found.symbols["d"] == sum(text.count("d") for text in (*TEXTS, "dad"))
        assert "e" in found.unseen
        for text in (said, page.text):
            for words in (
                "5 utterances cannot be used",
                "symbols outside the alphabet: 1",
                "shorter than one window: 1",
                "silent.wav: silent, every sample is 0",
                "clipped, 0.1% of the samples at full scale or more: 1",
                "train.jsonl:18: ",
                "never in training: ",
                "FLAC",
                "11025",
            ):
                assert words in text, words
        assert re.search(r"training\s+13\s", said)
        assert f"padding in all: {found.padding_share:.1%}" in said

    def test_the_page_needs_nothing_else(self, inspected):
        page = inspected[2]
        sources = [
            value
            for _, attributes in page.elements
            for key, value in attributes.items()
            if key in ("src", "href", "poster", "srcset", "data")
        ]
        assert sources
        assert all(source.startswith("data:") for source in sources)
        (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
        assert policy.startswith("default-src 'none'")
        assert not page.all("script", "link", "iframe")

    def test_what_others_wrote_is_escaped(self, inspected):
        page = inspected[2]
        assert "tones <script>alert(1)</script>" in page.text
        assert not page.all("b")

    def test_it_can_be_read_by_ear(self, inspected):
        page = inspected[2]
        assert page.all("html")[0]["lang"] == "en"
        assert [tag for tag, _ in page.elements].count("h1") == 1
        assert all(image["alt"] for image in page.all("img"))
        assert all(sound["aria-label"] for sound in page.all("audio"))
        assert all(picture["role"] == "img" for picture in page.all("svg"))
        assert all(picture["aria-label"] for picture in page.all("svg"))
        assert all(head["scope"] == "col" for head in page.all("th"))
        assert len(page.all("caption")) == len(page.all("table"))
        labels = [each["aria-label"] for each in page.all("audio")]
        assert len(set(labels)) == len(labels) == 6

    def test_samples_are_the_features_and_sounds_before_and_after(self, inspected, audio, tmp_path):
        page = inspected[2]
        made = build(
            audio.model_copy(
                update={"data": audio.data.model_copy(update={"unknown_symbols": "skip"})}
            ),
            Console(file=io.StringIO()),
        )
        places = choose(made.train, 3)
        frames = [made.train[place].frames for place in places]
        assert frames == sorted(frames)
        assert frames[0] == min(each.frames for each in made.train)
        assert frames[2] == max(each.frames for each in made.train)
        samples = [
            take_sample(made.train, place, made.front_end, made.augmentation, seed=0)
            for place in places
        ]
        pictures, sounds = page.all("img"), page.all("audio")
        assert (len(pictures), len(sounds)) == (6, 6)
        hearings = [hearing for each in samples for hearing in (each.plain, each.augmented)]
        for hearing, picture, sound in zip(hearings, pictures, sounds, strict=True):
            content = base64.b64decode(picture["src"].partition(",")[2])
            (tmp_path / "p.png").write_bytes(content)
            drawn = matplotlib.image.imread(tmp_path / "p.png")
            assert drawn.shape[:2] == hearing.features.T.shape
            heard = read_audio_file(base64.b64decode(sound["src"].partition(",")[2]))
            assert heard.sampling_rate == RATE
            np.testing.assert_allclose(heard.waveform, np.clip(hearing.waveform, -1, 1), atol=1e-4)
        for place, sample in zip(places, samples, strict=True):
            path = made.train[place].utterance.filepath
            np.testing.assert_allclose(sample.plain.waveform, read_audio(path, RATE), atol=1e-6)
            assert np.abs(sample.augmented.waveform - sample.plain.waveform).max() > 0.01
            assert len(sample.augmented.features) > len(sample.plain.features)

    def test_a_sample_is_what_the_first_epoch_trains_on(self, audio):
        data = audio.data.model_copy(update={"unknown_symbols": "skip"})
        made = build(audio.model_copy(update={"data": data}), Console(file=io.StringIO()))
        sample = take_sample(made.train, 4, made.front_end, made.augmentation, seed=0)
        rows = [
            inputs["features"][row, :length].numpy()
            for inputs, labels in training_dataset(
                made.train,
                made.front_end,
                batch_size=4,
                epochs=1,
                seed=0,
                augmentation=made.augmentation,
            )
            for row, length in enumerate(inputs["feature_length"])
            if np.array_equal(
                labels["labels"][row, : labels["label_length"][row]], made.train[4].labels
            )
        ]
        assert len(rows) == 1
        np.testing.assert_allclose(sample.augmented.features, rows[0], atol=0.02)


class TestFeatures:
    def test_are_shown_without_sound(self, tmp_path):
        features_corpus(tmp_path)
        features_corpus(tmp_path, ("ab",), "validation")
        recipe = tiny_recipe(
            tmp_path, augmentation__time_masks=1, augmentation__time_mask_max_frames=9
        )
        found, said, page = inspect(recipe, tmp_path / "new" / "page", samples=2)
        assert "Features are read, not audio" in page.text
        assert (len(page.all("img")), page.all("audio")) == (4, [])
        assert found.portions[0].seconds.sum() == pytest.approx(0.06 * sum(map(len, TEXTS)))
        assert "files of training" not in said

    def test_batches_are_those_of_the_recipe(self, tmp_path):
        features_corpus(tmp_path)
        features_corpus(tmp_path, ("ab",), "validation")
        # By frames each of the few lengths has a width, and so batches, of its own.
        for batching, batches, widths, is_padded in (
            ({"training__batch_size": 5}, 3, 8, True),
            ({"training__batch_size": 5, "training__num_buckets": 1}, 3, 1, True),
            ({"training__batch_size": None, "training__batch_frames": 42}, 7, 5, False),
        ):
            found, _, page = inspect(tiny_recipe(tmp_path, **batching), tmp_path, samples=0)
            assert sum(each.utterances for each in found.buckets) == len(TEXTS)
            assert sum(each.batches for each in found.buckets) == batches
            assert len(found.buckets) <= widths
            assert (found.padding_share > 0) == is_padded
            total = f"{found.padding_share:.1%} of all frames are padding"
            assert total in page.text

    def test_as_many_samples_as_there_are_or_none(self, tmp_path):
        features_corpus(tmp_path, TEXTS[:3])
        features_corpus(tmp_path, ("ab",), "validation")
        recipe = tiny_recipe(tmp_path)
        assert len(inspect(recipe, tmp_path / "a", samples=9)[2].all("img")) == 6
        page = inspect(recipe, tmp_path / "a", samples=0)[2]
        assert not page.all("img")
        assert "Samples" not in page.text


def test_where_it_cannot_be_written_is_told_before_anything_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    recipe = tiny_recipe(tmp_path / "nowhere")
    with pytest.raises(InspectionError, match="expected a folder, found a file"):
        inspect(recipe, tmp_path / "file")
    with pytest.raises(
        InspectionError, match="--samples: expected a whole number >= 0, received -1"
    ):
        inspect(recipe, tmp_path, samples=-1)
