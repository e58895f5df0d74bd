"""Plans of epochs: every utterance once, like lengths together, the same plan for the same seed."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.data.batching import (
    NOBODY,
    NUM_BUCKETS,
    batch_rows,
    bucket_widths,
    count_batches,
    count_shapes,
    largest_batch,
    plan_epoch,
    share_of,
)

FRAMES = np.random.default_rng(3).integers(40, 900, 137)

corpora = st.lists(st.integers(1, 2000), min_size=1, max_size=60).map(np.array)


def same(plan, other):
    return len(plan) == len(other) and all(
        np.array_equal(one.indices, two.indices) and one.width == two.width
        for one, two in zip(plan, other, strict=True)
    )


@settings(max_examples=60)
@given(
    frames=corpora,
    batch_size=st.integers(1, 70),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 2**40),
    sorta_grad=st.booleans(),
    num_buckets=st.integers(1, 12),
)
def test_any_plan(frames, batch_size, epoch, seed, sorta_grad, num_buckets):
    plan = plan_epoch(
        frames,
        batch_size,
        epoch=epoch,
        seed=seed,
        sorta_grad=sorta_grad,
        num_buckets=num_buckets,
    )
    assert sorted(np.concatenate([batch.indices for batch in plan])) == list(range(len(frames)))
    assert len(plan) == count_batches(frames, batch_size)
    sizes = sorted(len(batch.indices) for batch in plan)
    assert all(size == batch_size for size in sizes[1:])
    assert sizes[0] == len(frames) - batch_size * (len(plan) - 1)
    assert all(frames[batch.indices].max() <= batch.width for batch in plan)
    assert len({batch.width for batch in plan}) <= num_buckets
    assert {batch.width for batch in plan} <= set(bucket_widths(frames, num_buckets).tolist())
    shapes = {(len(batch.indices), batch.width) for batch in plan}
    assert len(shapes) <= count_shapes(frames, batch_size, num_buckets=num_buckets)


class TestPlan:
    def test_is_the_same_for_the_same_seed_and_epoch_alone(self):
        def plan(**changes):
            return plan_epoch(FRAMES, 8, **{"epoch": 2, "seed": 5, **changes})

        assert same(plan(), plan())
        assert not same(plan(), plan(seed=6))
        assert not same(plan(), plan(epoch=3))

    def test_the_first_epoch_goes_from_short_to_long(self):
        plan = plan_epoch(FRAMES, 8, epoch=0, seed=5)
        in_order = FRAMES[np.concatenate([batch.indices for batch in plan])]
        assert np.all(np.diff(in_order) >= 0)
        assert same(plan, plan_epoch(FRAMES, 8, epoch=0, seed=99))

    @pytest.mark.parametrize(("epoch", "sorta_grad"), [(1, True), (0, False)])
    def test_no_other_epoch_does(self, epoch, sorta_grad):
        plan = plan_epoch(FRAMES, 8, epoch=epoch, seed=5, sorta_grad=sorta_grad)
        longest = [FRAMES[batch.indices].max() for batch in plan]
        falls = np.sum(np.diff(longest) < 0)
        assert len(plan) // 4 < falls < len(plan) - len(plan) // 4

    def test_batches_hold_like_lengths_and_change_their_company(self):
        plans = [plan_epoch(FRAMES, 8, epoch=epoch, seed=5) for epoch in (1, 2)]
        companies = [{tuple(sorted(batch.indices)) for batch in plan} for plan in plans]
        assert len(companies[0] & companies[1]) < len(plans[0]) // 4
        everything = FRAMES.max() - FRAMES.min()
        for plan in plans:
            spans = [np.ptp(FRAMES[batch.indices]) for batch in plan]
            assert np.mean(spans) < everything / 3

    def test_no_more_padding_than_a_third_of_what_is_read(self):
        plan = plan_epoch(FRAMES, 8, epoch=1, seed=5)
        read = sum(batch.width * len(batch.indices) for batch in plan)
        assert FRAMES.sum() > 0.66 * read

    def test_lengths_may_come_as_a_list(self):
        assert same(
            plan_epoch(FRAMES.tolist(), 8, epoch=1, seed=1),
            plan_epoch(FRAMES, 8, epoch=1, seed=1),
        )


class TestBucketWidths:
    @settings(max_examples=60)
    @given(frames=corpora, num_buckets=st.integers(1, 20))
    def test_few_ascending_and_the_last_fits_all(self, frames, num_buckets):
        widths = bucket_widths(frames, num_buckets)
        assert 1 <= len(widths) <= num_buckets
        assert np.all(np.diff(widths) > 0)
        assert widths[-1] == frames.max()
        assert set(widths) <= set(frames)

    @settings(max_examples=60)
    @given(
        frames=st.lists(st.integers(1, 14), min_size=1, max_size=30).map(np.array),
        num_buckets=st.integers(1, 5),
    )
    def test_no_other_widths_leave_less_to_padding(self, frames, num_buckets):
        def padded(widths):
            return widths[np.searchsorted(widths, frames)].sum()

        lengths = np.unique(frames)
        least = min(
            padded(np.union1d(others, lengths[-1:]))
            for count in range(num_buckets)
            for others in itertools.combinations(lengths, count)
        )
        assert padded(bucket_widths(frames, num_buckets)) == least

    def test_one_long_utterance_widens_few_others(self):
        frames = np.append(np.full(99, 300) - np.arange(99), 3000)
        assert 295 <= bucket_widths(frames)[-2] <= 300

    def test_equal_lengths_need_one(self):
        assert bucket_widths(np.full(50, 70)).tolist() == [70]
        assert len(bucket_widths(FRAMES)) == NUM_BUCKETS


@pytest.mark.parametrize("utterances", [1, 7, 8, 9, 64])
def test_count_of_batches(utterances):
    assert count_batches(np.ones(utterances), 8) == math.ceil(utterances / 8)


class TestByFrames:
    """Batches of so many frames at the most."""

    @settings(max_examples=60)
    @given(
        frames=corpora,
        spare=st.integers(0, 9000),
        epoch=st.integers(0, 3),
        seed=st.integers(0, 2**40),
        sorta_grad=st.booleans(),
        num_buckets=st.integers(1, 12),
    )
    def test_any_plan(self, frames, spare, epoch, seed, sorta_grad, num_buckets):
        size = {"batch_frames": int(frames.max()) + spare, "num_buckets": num_buckets}
        plan = plan_epoch(frames, epoch=epoch, seed=seed, sorta_grad=sorta_grad, **size)
        indices = np.concatenate([batch.indices for batch in plan])
        assert sorted(indices) == list(range(len(frames)))
        # The count holds for every epoch and seed, since neither is an argument of it.
        assert len(plan) == count_batches(frames, **size)
        assert all(frames[batch.indices].max() <= batch.width for batch in plan)
        assert {batch.width for batch in plan} <= set(bucket_widths(frames, num_buckets).tolist())
        assert all(len(batch.indices) * batch.width <= size["batch_frames"] for batch in plan)
        shapes = {(len(batch.indices), batch.width) for batch in plan}
        assert len(shapes) <= count_shapes(frames, **size)
        symbols = frames // 3
        rows, width, labels = largest_batch(frames, symbols, **size)
        assert rows * width <= size["batch_frames"]
        for batch in plan:
            most = 2 * symbols[batch.indices].max() + 1
            assert len(batch.indices) * batch.width * most <= rows * width * (2 * labels + 1)

    def test_many_short_utterances_or_few_long_ones(self):
        plan = plan_epoch(FRAMES, batch_frames=4000, epoch=1, seed=5)
        rows = {batch.width: 0 for batch in plan}
        for batch in plan:
            rows[batch.width] = max(rows[batch.width], len(batch.indices))
        by_width = [rows[width] for width in sorted(rows)]
        assert by_width[0] > 2 * by_width[-1]
        assert by_width[-1] == 4000 // FRAMES.max()

    def test_the_first_epoch_goes_from_short_to_long_and_no_other(self):
        first, second = (
            np.concatenate([each.indices for each in plan_epoch(FRAMES, batch_frames=4000, **at)])
            for at in ({"epoch": 0, "seed": 5}, {"epoch": 1, "seed": 5})
        )
        assert np.all(np.diff(FRAMES[first]) >= 0)
        assert np.sum(np.diff(FRAMES[second]) < 0) > len(FRAMES) // 4

    def test_company_changes_from_epoch_to_epoch_and_with_the_seed(self):
        def companies(epoch, seed):
            plan = plan_epoch(FRAMES, batch_frames=4000, epoch=epoch, seed=seed)
            return {tuple(sorted(batch.indices)) for batch in plan}

        assert companies(1, 5) == companies(1, 5)
        for other in (companies(2, 5), companies(1, 6)):
            assert len(companies(1, 5) & other) < len(other) // 4

    def test_an_utterance_longer_than_a_batch_is_an_error(self):
        with pytest.raises(ValueError, match=r"longest utterance, 900 frames, received 899; raise"):
            batch_rows(np.array([300, 900]), 899)


def test_the_largest_batch_of_a_fixed_size():
    frames, symbols = np.array([10, 90, 30]), np.array([2, 4, 7])
    assert largest_batch(frames, symbols, 8) == (3, 90, 7)
    assert largest_batch(frames, symbols, 2) == (2, 90, 7)


@settings(max_examples=60)
@given(utterances=st.integers(1, 40), replicas=st.integers(1, 9))
def test_shares_are_of_one_size_and_hold_every_utterance_once(utterances, replicas):
    shares = [share_of(np.arange(utterances), replica, replicas) for replica in range(replicas)]
    assert {len(share) for share in shares} == {math.ceil(utterances / replicas)}
    found = np.concatenate(shares)
    assert sorted(found[found != NOBODY]) == list(range(utterances))
    real = [np.count_nonzero(share != NOBODY) for share in shares]
    assert max(real) - min(real) <= 1
