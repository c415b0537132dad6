from itertools import combinations, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from fbtasks.logic.assignment import best_pairs

tables = st.integers(0, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5]) | st.floats(-1, 3), min_size=width, max_size=width), max_size=4
    )
)


def most(gains: list[list[float]]) -> float:
    """The largest sum of gains, by trying everything."""
    rows, columns = range(len(gains)), range(len(gains[0]) if gains else 0)
    return max(
        sum(gains[row][column] for row, column in zip(chosen, order, strict=True))
        for count in range(min(len(rows), len(columns)) + 1)
        for chosen in combinations(rows, count)
        for order in permutations(columns, count)
    )


@settings(deadline=None, max_examples=200)
@given(tables)
def test_no_other_pairs_gain_more(gains: list[list[float]]) -> None:
    pairs = best_pairs(gains)
    assert all(gains[row][column] > 0 for row, column in pairs)
    assert len(pairs) == len({row for row, _ in pairs}) == len({column for _, column in pairs})
    assert abs(sum(gains[row][column] for row, column in pairs) - most(gains)) < 1e-9


def test_the_best_single_pair_gives_way_to_a_better_whole() -> None:
    assert sorted(best_pairs([[10.0, 9.0], [9.0, 1.0]])) == [(0, 1), (1, 0)]


def test_a_chain_of_rivals_is_solved_as_one() -> None:
    size = 40
    gains = [[1.0 + row / 100 if column in {row, row + 1} else 0.0 for column in range(size)] for row in range(size)]
    assert sorted(best_pairs(gains)) == [(index, index) for index in range(size)]


def test_nothing_to_pair() -> None:
    assert best_pairs([]) == []
    assert best_pairs([[], []]) == []
    assert best_pairs([[0.0, -1.0]]) == []
