"""What is told of utterances and batches that are passed over, and when it is too much."""

import pytest

from keras_ds2.training.faults import MOST_IN_A_ROW, Faults, Guard, TrainingError, most_unread


@pytest.mark.parametrize(
    ("utterances", "share", "most"), [(60, 0.01, 1), (10_000, 0.01, 100), (3, 0.0, 1), (60, 0.1, 6)]
)
def test_a_share_of_them_may_fail_and_always_one(utterances, share, most):
    assert most_unread(utterances, share) == most


class TestFaults:
    def test_each_is_told_once_and_kept(self, tmp_path):
        path, said = tmp_path / "faults.txt", []
        for _ in range(2):
            faults = Faults(path, said.append)
            for line in ("a.jsonl:1: gone", "a.jsonl:2: cut\noff", "a.jsonl:1: gone"):
                faults.add(line)
            faults.tell()
        assert path.read_text() == "a.jsonl:1: gone\na.jsonl:2: cut off\n"
        assert said == ["  passed over: a.jsonl:1: gone", "  passed over: a.jsonl:2: cut off"]

    def test_of_many_the_first_are_shown(self, tmp_path):
        said = []
        faults = Faults(tmp_path / "faults.txt", said.append)
        for number in range(25):
            faults.add(f"{number} is gone")
            faults.tell()
        assert len(said) == 11
        assert said[-1].endswith(f"all that follow stand in {tmp_path / 'faults.txt'}")
        assert len((tmp_path / "faults.txt").read_text().splitlines()) == 25

    def test_without_a_file_they_are_told_only(self):
        said = []
        faults = Faults(None, said.append)
        faults.add("gone")
        faults.tell()
        assert said == ["  passed over: gone"]

    def test_a_file_that_cannot_be_written_is_told_of_once_and_tried_again(self, tmp_path):
        said, folder = [], tmp_path / "run"
        folder.write_text("in the way")
        faults = Faults(folder / "faults.txt", said.append)
        faults.add("gone")
        faults.tell()
        faults.tell()
        assert said[0] == "  passed over: gone"
        assert len(said) == 2
        assert "tried again later" in said[1]
        folder.unlink()
        faults.tell()
        assert (folder / "faults.txt").read_text() == "gone\n"

    def test_what_is_taken_away_is_not_told(self, tmp_path):
        said = []
        faults = Faults(tmp_path / "faults.txt", said.append)
        faults.add("gone")
        assert faults.take() == ["gone"]
        faults.tell()
        assert (said, faults.take()) == ([], [])

    def test_none_leaves_no_file(self, tmp_path):
        Faults(tmp_path / "faults.txt", print).tell()
        assert not (tmp_path / "faults.txt").exists()


class TestGuard:
    def guard(self, **options):
        return Guard(Faults(None, lambda line: None), lambda epoch, step: ["a:7", "a:9"], **options)

    def test_stops_and_names_the_utterances(self):
        with pytest.raises(TrainingError, match=r"epoch 3, step 5: .*\n  a:7\n  a:9\nLower"):
            self.guard().look_at_loss(2, 4, 1)

    def test_passes_over_not_too_many_in_a_row(self):
        guard = self.guard(skips_not_finite=True)
        guard.look_at_loss(2, 4, MOST_IN_A_ROW)
        with pytest.raises(TrainingError, match="the 11th batch in a row"):
            guard.look_at_loss(2, 4, MOST_IN_A_ROW + 1)
