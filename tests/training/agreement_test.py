"""What workers tell each other arrives whole, in their order, with each of them."""

import pytest

from tests.training.made_up_workers import together


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_hears_all_in_their_order(workers):
    words = ["", {"line": "übrig", "share": 0.1}, ["a" * 5] * 7][:workers]
    heard = together(lambda agreement: agreement.from_all(words[agreement.worker]), workers)
    assert heard == [words] * workers


def test_the_chief_is_heard_alone():
    assert (
        together(lambda agreement: agreement.from_chief(f"of {agreement.worker}"), 3)
        == ["of 0"] * 3
    )


def test_one_says_yes_for_all():
    heard = together(lambda agreement: agreement.any(agreement.worker == 1, False), 2)
    assert heard == [[True, False]] * 2
