"""Two processes with two devices each say, read and compute what one process with four does."""

import jobs
import numpy as np
import pytest


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talk")
    return jobs.talk(1, 4, folder), jobs.talk(2, 2, folder)


def test_what_they_say_to_each_other(one_and_two):
    _, two = one_and_two
    assert [one["main"] for one in two] == [True, False]
    assert [one["from main"] for one in two] == [[0, 1], [0, 1]]
    assert [one["on any"] for one in two] == [[True, False]] * 2
    assert all(one["second"] for one in two)


def test_the_global_batch_is_the_same(one_and_two):
    (one,), two = one_and_two
    assert {each["batch"] for each in two} == {one["batch"]}


@pytest.mark.parametrize("way", ["jit", "split", "pmap"])
def test_they_compute_the_same(one_and_two, way):
    (one,), two = one_and_two
    assert two[0][way] == two[1][way]
    for mine, theirs in zip(one[way], two[0][way], strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-6, atol=1e-6)
