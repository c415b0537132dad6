"""Who gets what, so that all gain most together: the assignment problem, for the few tracks and boxes of a picture."""

from collections.abc import Iterator, Sequence

Pair = tuple[int, int]
Rows = dict[int, dict[int, float]]


def best_pairs(gains: Sequence[Sequence[float]]) -> list[Pair]:
    """Rows and columns paired, none twice, so that the sum of their gains is the largest there is.

    Nothing is paired without a gain above 0. Of several best solutions always the same one is found.

    Args:
        gains: `[n][m]`, what pairing a row with a column brings.
    """
    rows = {row: {column: gain for column, gain in enumerate(line) if gain > 0} for row, line in enumerate(gains)}
    return [pair for group in _groups(rows) for pair in _best_of_group(group)]


def _groups(rows: Rows) -> Iterator[Rows]:
    """The rows in groups that share no column: most tracks have only one box in reach, and need no search."""
    takers: dict[int, list[int]] = {}
    for row, line in rows.items():
        for column in line:
            takers.setdefault(column, []).append(row)
    grouped: set[int] = set()
    for first in rows:
        if first in grouped:
            continue
        group, waiting = {first}, [first]
        while waiting:
            fresh = {row for column in rows[waiting.pop()] for row in takers[column]} - group
            group |= fresh
            waiting += sorted(fresh)
        grouped |= group
        yield {row: rows[row] for row in sorted(group)}


def _best_of_group(group: Rows) -> list[Pair]:
    if len(group) == 1:
        ((row, line),) = group.items()
        return [(row, max(line, key=line.__getitem__))] if line else []
    columns = sorted({column for line in group.values() for column in line})
    # And a column for each row to be alone in: it costs nothing.
    costs = [[-line.get(column, 0.0) for column in columns] + [0.0] * len(group) for line in group.values()]
    chosen = zip(group.items(), _cheapest(costs), strict=True)
    return [(row, columns[index]) for (row, line), index in chosen if index < len(columns) and columns[index] in line]


def _cheapest(costs: list[list[float]]) -> list[int]:
    """The column of each row for which the sum of costs is least.

    Kuhn, "The Hungarian method for the assignment problem", 1955; rows are added one at a time, each along the shortest
    augmenting path, as in Jonker and Volgenant, 1987: O(n² m).

    Args:
        costs: `[n][m]` with n <= m.
    """
    row_of = [-1] * len(costs[0])
    row_price, column_price = [0.0] * len(costs), [0.0] * len(row_of)
    for row in range(len(costs)):
        column, came_from = _shortest_path(costs, row, row_of, row_price, column_price)
        while column >= 0:
            before = came_from[column]
            row_of[column] = row_of[before] if before >= 0 else row
            column = before
    return [row_of.index(row) for row in range(len(costs))]


def _shortest_path(
    costs: list[list[float]], start: int, row_of: list[int], row_price: list[float], column_price: list[float]
) -> tuple[int, list[int]]:
    """From a row without a column to a column without a row, along columns that change hands; the prices are moved on.

    Returns:
        The last column; for each column the one before it on the way, or -1.
    """
    length, came_from = [float("inf")] * len(row_of), [-1] * len(row_of)
    ahead, done = set(range(len(row_of))), list[int]()
    row, column, walked = start, -1, 0.0
    while row >= 0:
        for other in ahead:
            longer = walked + costs[row][other] - row_price[row] - column_price[other]
            if longer < length[other]:
                length[other], came_from[other] = longer, column
        column = min(ahead, key=length.__getitem__)
        walked, row = length[column], row_of[column]
        ahead.remove(column)
        done.append(column)
    row_price[start] += walked
    for other in done[:-1]:
        row_price[row_of[other]] += walked - length[other]
        column_price[other] -= walked - length[other]
    return column, came_from
