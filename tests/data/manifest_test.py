"""Tests of manifests: reading, all faults at once, writing."""

import json
import os
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_ds2.data.manifest import ManifestError, Utterance, read_manifest, write_manifest


@pytest.fixture
def folder(tmp_path):
    """A folder with two audio files and a features file; what they hold does not matter here."""
    for name in ("a.wav", "b.wav", "f.npy", "sub/c.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def line(**changes) -> str:
    """One good line with changes; a value of None takes a key out."""
    row = {"audio_filepath": "a.wav", "duration": 1.5, "text": "hello", **changes}
    return json.dumps({key: value for key, value in row.items() if value is not None})


def manifest(folder, *lines: str | bytes):
    path = folder / "m.jsonl"
    path.write_bytes(b"\n".join(x.encode() if isinstance(x, str) else x for x in lines) + b"\n")
    return path


def faults(folder, *lines: str | bytes, **options) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(folder, *lines), **options)
    return caught.value.faults


class TestReading:
    def test_every_key(self, folder):
        path = manifest(
            folder,
            line(speaker="ann", lang="en", n=[1, {"x": 2}]),
            "",
            line(text="two", duration=2),
        )
        first, second = read_manifest(path)
        assert first == Utterance(
            audio_filepath=str(folder / "a.wav"),
            features_filepath=None,
            duration=1.5,
            text="hello",
            speaker="ann",
            extra={"lang": "en", "n": [1, {"x": 2}]},
            manifest=str(path),
            line=1,
        )
        assert first.where == f"{path}:1"
        assert first.filepath == str(folder / "a.wav")
        assert second.where == f"{path}:3"
        assert second.speaker is None
        assert second.extra == {}
        assert isinstance(second.duration, float)

    def test_features_in_place_of_audio(self, folder):
        (utterance,) = read_manifest(
            manifest(folder, line(audio_filepath=None, features_filepath="f.npy"))
        )
        assert utterance.audio_filepath is None
        assert utterance.filepath == utterance.features_filepath == str(folder / "f.npy")

    def test_paths_are_relative_to_the_manifest_not_to_the_process(self, folder, monkeypatch):
        path = manifest(folder, line(audio_filepath="sub/../sub/c.flac"))
        monkeypatch.chdir(folder / "sub")
        (utterance,) = read_manifest("../m.jsonl")
        assert utterance.filepath == str(folder / "sub" / "c.flac")
        assert utterance.where == "../m.jsonl:1"
        assert read_manifest(path)[0].filepath == utterance.filepath

    def test_absolute_paths(self, folder):
        (utterance,) = read_manifest(manifest(folder, line(audio_filepath=str(folder / "b.wav"))))
        assert utterance.filepath == str(folder / "b.wav")

    def test_a_path_may_come_twice(self, folder):
        assert len(read_manifest(manifest(folder, line(), line()))) == 2

    def test_null_is_as_good_as_absent(self, folder):
        row = {"audio_filepath": "a.wav", "features_filepath": None, "duration": 1, "text": "a"}
        (utterance,) = read_manifest(manifest(folder, json.dumps({**row, "speaker": None})))
        assert utterance.features_filepath is None
        assert utterance.speaker is None

    def test_byte_order_mark_windows_line_ends_and_line_separators_in_texts(self, folder):
        content = "\ufeff" + line() + "\r\n" + line(text="我") + "\r\n"
        (folder / "m.jsonl").write_bytes(content.encode())
        assert [u.text for u in read_manifest(folder / "m.jsonl")] == ["hello", "我"]
        row = '{"audio_filepath": "a.wav", "duration": 1, "text": "a\u2028b"}'
        assert len(read_manifest(manifest(folder, row, row))) == 2

    def test_no_line_end_at_the_end(self, folder):
        (folder / "m.jsonl").write_text(line())
        assert len(read_manifest(folder / "m.jsonl")) == 1

    def test_without_texts(self, folder):
        path = manifest(folder, line(text=None), line(text=""), line(text="kept"))
        assert [u.text for u in read_manifest(path, require_text=False)] == ["", "", "kept"]

    def test_without_files(self, folder):
        path = manifest(folder, line(audio_filepath="gone.wav"))
        (utterance,) = read_manifest(path, require_files=False)
        assert utterance.filepath == str(folder / "gone.wav")
        (fault,) = faults(folder, line(duration=0), require_files=False)
        assert "duration: expected" in fault


class TestFaults:
    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("{", "not JSON: Expecting property name enclosed in double quotes at column 2"),
            ('{"text": "a"} {', "not JSON: Extra data at column 15"),
            ("[" * 100000, "not a manifest's line: nested too deeply"),
            ('"text"', "expected a JSON object {...}, received 'text'"),
            ('{"text": "a", "text": "b"}', "key 'text' is given twice"),
            (
                line(audio_filepath=None),
                "expected one of audio_filepath and features_filepath, received neither",
            ),
            (
                line(features_filepath="f.npy"),
                "expected one of audio_filepath and features_filepath, received both",
            ),
            (line(audio_filepath=7), "audio_filepath: expected a path, received 7"),
            (line(audio_filepath=" "), "audio_filepath: expected a path, received ' '"),
            (line(audio_filepath="no.wav"), "audio_filepath: no such file: "),
            (line(audio_filepath="sub"), "audio_filepath: a folder, not a file: "),
            (line(audio_filepath="a\0.wav"), "audio_filepath: no such file: "),
            (line(duration=None), "duration: missing; expected seconds > 0"),
            (line(duration="1.5"), "duration: expected seconds > 0, a number, received '1.5'"),
            (line(duration=True), "duration: expected seconds > 0, a number, received True"),
            (line(duration=0), "duration: expected finite seconds > 0, received 0"),
            (line(duration=-2.5), "duration: expected finite seconds > 0, received -2.5"),
            (line(duration=float("nan")), "duration: expected finite seconds > 0, received nan"),
            (line(duration=float("inf")), "duration: expected finite seconds > 0, received inf"),
            (line(duration=10**400), "duration: expected finite seconds > 0, received 1000"),
            (line(text=None), "text: missing; expected what is said"),
            (line(text=""), "text: empty; expected what is said"),
            (line(text=" \t"), "text: empty; expected what is said"),
            (line(text=["a"]), "text: expected a text, received ['a']"),
            (line(speaker=3), "speaker: expected a text, received 3"),
            (line(text="\ud800"), "text: expected whole characters, received half a surrogate"),
            (line().encode() + b"\xe9", "not UTF-8 (byte 0xe9 at column 62); save the manifest"),
        ],
    )
    def test_each_is_named_with_file_and_line(self, folder, bad, said):
        path = folder / "m.jsonl"
        (fault,) = faults(folder, line(), bad, line())
        assert fault.startswith(f"{path}:2: {said}")

    def test_all_at_once(self, folder):
        found = faults(
            folder,
            "{",
            line(),
            line(duration=-1, text="", speaker=1, features_filepath="f.npy"),
            b"\xff",
            line(audio_filepath="no.wav"),
        )
        assert [fault.rsplit(".jsonl:", 1)[1].split(":")[0] for fault in found] == [*"1333345"]

    def test_the_first_twenty_are_shown_and_the_rest_counted(self, folder):
        with pytest.raises(ManifestError) as caught:
            read_manifest(manifest(folder, *["{"] * 33))
        message = str(caught.value)
        assert message.startswith(f"{folder / 'm.jsonl'}: 33 faults\n")
        assert message.count("not JSON") == 20
        assert "... and 13 more" in message
        assert "Correct or remove these lines." in message
        assert len(caught.value.faults) == 33

    def test_a_text_of_the_wrong_type_is_a_fault_even_where_none_is_required(self, folder):
        (fault,) = faults(folder, line(text=3), require_text=False)
        assert "text: expected a text, received 3" in fault

    def test_it_is_a_value_error(self):
        assert issubclass(ManifestError, ValueError)


class TestNotAManifest:
    def test_missing(self, tmp_path):
        with pytest.raises(ManifestError, match=r"none\.jsonl: no such manifest .*Check the path"):
            read_manifest(tmp_path / "none.jsonl")

    def test_folder(self, folder):
        manifest(folder, line())
        with pytest.raises(ManifestError, match=r"a folder; expected a manifest.*m\.jsonl"):
            read_manifest(folder)

    @pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
    def test_empty(self, tmp_path, content):
        (tmp_path / "m.jsonl").write_bytes(content)
        with pytest.raises(ManifestError, match=r"m\.jsonl: empty; expected at least one line"):
            read_manifest(tmp_path / "m.jsonl")

    def test_utf16(self, tmp_path):
        (tmp_path / "m.jsonl").write_text(line(), encoding="utf-16")
        with pytest.raises(ManifestError, match="UTF-16; expected UTF-8"):
            read_manifest(tmp_path / "m.jsonl")

    def test_json_list(self, tmp_path):
        (tmp_path / "m.jsonl").write_text(f"[\n{line()},\n{line()}\n]")
        with pytest.raises(ManifestError, match="a JSON list; expected JSON lines"):
            read_manifest(tmp_path / "m.jsonl")


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(string.printable), inner),
    max_leaves=5,
)
EXTRA_KEYS = st.text(string.ascii_lowercase, min_size=1).map("x_".__add__)


class TestWriting:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([("a.wav", None), ("sub/c.flac", None), (None, "f.npy")]),
                st.floats(min_value=1e-3, max_value=1e5),
                TEXTS,
                st.none() | TEXTS,
                st.dictionaries(EXTRA_KEYS, JSON, max_size=3),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_read_undoes_write(self, folder, rows):
        path = folder / "out" / "w.jsonl"
        utterances = [
            Utterance(
                *(None if name is None else str(folder / name) for name in names),
                duration=duration,
                text=text,
                speaker=speaker,
                extra=extra,
                manifest=str(path),
                line=number,
            )
            for number, (names, duration, text, speaker, extra) in enumerate(rows, start=1)
        ]
        write_manifest(path, utterances)
        assert read_manifest(path) == utterances

    def test_paths_are_written_relative_to_the_manifest(self, folder):
        path = folder / "lists" / "w.jsonl"
        write_manifest(
            path,
            [
                {"audio_filepath": str(folder / "sub" / "c.flac"), "duration": 1, "text": "我"},
                {"audio_filepath": "../b.wav", "duration": 1, "text": "b", "n": 1},
            ],
        )
        content = path.read_text(encoding="utf-8")
        assert "我" in content
        assert [json.loads(row)["audio_filepath"] for row in content.splitlines()] == [
            "../sub/c.flac",
            "../b.wav",
        ]
        assert [u.filepath for u in read_manifest(path)] == [
            str(folder / "sub" / "c.flac"),
            str(folder / "b.wav"),
        ]

    def test_the_folder_can_be_moved_with_its_manifest(self, folder):
        first = folder / "first"
        first.mkdir()
        (first / "a.wav").write_bytes(b"x")
        write_manifest(
            first / "w.jsonl", [Utterance(str(first / "a.wav"), None, duration=1.0, text="a")]
        )
        second = first.rename(folder / "second")
        assert read_manifest(second / "w.jsonl")[0].filepath == str(second / "a.wav")

    def test_files_need_not_exist_yet(self, tmp_path):
        write_manifest(
            tmp_path / "w.jsonl", [{"audio_filepath": "later.wav", "duration": 1, "text": "a"}]
        )
        with pytest.raises(ManifestError, match="no such file"):
            read_manifest(tmp_path / "w.jsonl")

    def test_faulty_rows_write_nothing_and_keep_the_old_file(self, folder):
        path = manifest(folder, line())
        before = path.read_bytes()
        good = {"audio_filepath": "a.wav", "duration": 1, "text": "a"}
        with pytest.raises(ManifestError) as caught:
            write_manifest(
                path,
                [
                    good,
                    {**good, "duration": -1},
                    {**good, "n": float("nan")},
                    {**good, "n": object()},
                    {**good, "text": "\ud800"},
                    {**good, "n": "\ud800"},
                ],
            )
        message = str(caught.value)
        assert "5 faults" in message
        assert all(f"m.jsonl:{number}: " in message for number in (2, 3, 4, 5, 6))
        assert "Nothing was written" in message
        assert path.read_bytes() == before

    def test_no_rows(self, tmp_path):
        with pytest.raises(ManifestError, match="no rows to write"):
            write_manifest(tmp_path / "w.jsonl", [])
        assert os.listdir(tmp_path) == []

    def test_rows_that_fail_half_way_write_nothing(self, tmp_path):
        def rows():
            yield {"audio_filepath": "a.wav", "duration": 1, "text": "a"}
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError, match="the source broke"):
            write_manifest(tmp_path / "w.jsonl", rows())
        assert os.listdir(tmp_path) == []


@pytest.mark.data
def test_real_manifests_read_and_write_back(speech_data, tmp_path):
    manifests = sorted(speech_data.glob("*/t*.jsonl"))
    if not manifests:
        pytest.skip(f"no manifest in {speech_data}")
    for path in manifests:
        utterances = read_manifest(path)
        write_manifest(tmp_path / path.name, utterances)
        again = read_manifest(tmp_path / path.name)
        kept = [(u.filepath, u.duration, u.text, u.speaker, u.extra) for u in utterances]
        assert [(u.filepath, u.duration, u.text, u.speaker, u.extra) for u in again] == kept
