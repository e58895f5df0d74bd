"""Plans of epochs: every utterance once, like lengths together, the same plan for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.data.batching import (
    NUM_BUCKETS,
    bucket_widths,
    count_batches,
    count_shapes,
    plan_epoch,
)

FRAMES = np.random.default_rng(3).integers(40, 900, 137)

corpora = st.lists(st.integers(1, 2000), min_size=1, max_size=60).map(np.array)


def same(plan, other):
    return len(plan) == len(other) and all(
        np.array_equal(one.indices, two.indices) and one.width == two.width
        for one, two in zip(plan, other, strict=True)
    )


@settings(deadline=None, max_examples=60)
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
    assert len(plan) == count_batches(len(frames), batch_size)
    sizes = sorted(len(batch.indices) for batch in plan)
    assert all(size == batch_size for size in sizes[1:])
    assert sizes[0] == len(frames) - batch_size * (len(plan) - 1)
    assert all(frames[batch.indices].max() <= batch.width for batch in plan)
    assert len({batch.width for batch in plan}) <= num_buckets
    assert {batch.width for batch in plan} <= set(bucket_widths(frames, num_buckets).tolist())
    shapes = {(len(batch.indices), batch.width) for batch in plan}
    assert len(shapes) <= count_shapes(frames, batch_size, num_buckets)


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
    @settings(deadline=None, max_examples=60)
    @given(frames=corpora, num_buckets=st.integers(1, 20))
    def test_few_ascending_and_the_last_fits_all(self, frames, num_buckets):
        widths = bucket_widths(frames, num_buckets)
        assert 1 <= len(widths) <= num_buckets
        assert np.all(np.diff(widths) > 0)
        assert widths[-1] == frames.max()
        assert set(widths) <= set(frames)

    def test_each_serves_about_as_many(self):
        widths = bucket_widths(FRAMES, 4)
        served = np.bincount(np.searchsorted(widths, FRAMES))
        assert len(served) == 4
        assert served.max() - served.min() <= 3

    def test_equal_lengths_need_one(self):
        assert bucket_widths(np.full(50, 70)).tolist() == [70]
        assert len(bucket_widths(FRAMES)) == NUM_BUCKETS


@pytest.mark.parametrize("utterances", [1, 7, 8, 9, 64])
def test_count_of_batches(utterances):
    assert count_batches(utterances, 8) == math.ceil(utterances / 8)
