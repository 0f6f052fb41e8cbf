"""Where a line with regular steps first turns negative, solved instead of walked.

The values are V(i) = constant + slope*i + step*floor((rise*i + offset) / run), all whole numbers.
Read along i they are a word of two letters: "up" adds `step`, "over" adds `slope` and stands for
one index. The steps of a floor are so regular that Euclid's algorithm on (rise, run) writes the
word, however long, as some eighty products and powers of shorter words (the universal Euclidean
algorithm; such words are called Sturmian). Each of those knows its length, its sum and its lowest
value, which is enough to go straight to the first index with a value below zero.
"""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """constant + slope*i + step*floor((rise*i + offset) / run); rise >= 0, run > 0, all whole."""

    constant: int
    slope: int
    step: int
    rise: int
    offset: int
    run: int

    def shifted(self, start: int) -> Line:
        """The same sequence, counted from index `start`."""
        return self._replace(
            constant=self.constant + self.slope * start, offset=self.offset + self.rise * start
        )

    def mirrored(self, last: int) -> Line:
        """The same sequence, counted backwards from index `last`."""
        # For any whole m: floor((m - rise*i) / run) = -floor((rise*i - m + run - 1) / run).
        return Line(
            constant=self.constant + self.slope * last,
            slope=-self.slope,
            step=-self.step,
            rise=self.rise,
            offset=self.run - 1 - self.offset - self.rise * last,
            run=self.run,
        )

    def negated(self) -> Line:
        """The sequence with every sign turned."""
        return self._replace(constant=-self.constant, slope=-self.slope, step=-self.step)

    def complement(self) -> Line:
        """The sequence that is negative exactly where this one is not: -V - 1."""
        return self.negated()._replace(constant=-self.constant - 1)


class Word(NamedTuple):
    """A word over the two letters: `first` then `second`, or `first` repeated; or one letter."""

    length: int
    """How many indices it covers."""
    sum: int
    lowest: int | None
    """The lowest value at any index, counted from 0 before the word; None: it covers no index."""
    first: Word | None = None
    second: Word | None = None


EMPTY = Word(0, 0, None)


def word(line: Line, length: int) -> tuple[Word, int]:
    """The first `length` indices of a line as a word, and the value that it starts from."""
    floor, offset = divmod(line.offset - line.rise, line.run)
    start = line.constant - line.slope + line.step * floor
    up, over = Word(0, line.step, None), Word(1, line.slope, line.slope)
    return _euclid(_Slope(line.rise, offset, line.run), length, up, over), start


def first_negative(of: Word, start: int, skip: int = 0) -> int | None:
    """The first index, at least `skip`, at which the word that starts from `start` is negative."""
    if of.lowest is None or skip >= of.length or start + of.lowest >= 0:
        return None
    if of.first is None:
        return 0
    if of.second is None:
        return _in_power(of.first, of.length, start, skip)
    found = first_negative(of.first, start, skip)
    if found is not None:
        return found
    rest = max(0, skip - of.first.length)
    found = first_negative(of.second, start + of.first.sum, rest)
    return None if found is None else of.first.length + found


def _in_power(base: Word, length: int, start: int, skip: int) -> int | None:
    """`first_negative` in a power of `base` that is known to turn negative somewhere."""
    turn, inside = divmod(skip, base.length)
    if inside:
        found = first_negative(base, start + turn * base.sum, inside)
        if found is not None:
            return turn * base.length + found
        turn += 1
    assert base.lowest is not None
    gap = start + turn * base.sum + base.lowest
    if gap >= 0:
        if base.sum >= 0:
            return None
        turn += gap // -base.sum + 1
    if turn * base.length >= length:
        return None
    found = first_negative(base, start + turn * base.sum)
    assert found is not None
    return turn * base.length + found


class _Slope(NamedTuple):
    """floor((rise*x + offset) / run) with 0 <= offset < run."""

    rise: int
    offset: int
    run: int


def _euclid(slope: _Slope, length: int, up: Word, over: Word) -> Word:
    """For x = 1..length an `over`, and before it as many `up` as the floor has risen at x."""
    rise, offset, run = slope
    if length == 0:
        return EMPTY
    if rise >= run:
        over = _join(_power(up, rise // run), over)
        rise %= run
    ups = (rise * length + offset) // run
    if ups == 0:
        return _power(over, length)
    # Seen from the other axis: before the first up, between the ups, and after the last one.
    before = (run - offset - 1) // rise
    after = length - (run * ups - offset - 1) // rise
    swapped = _Slope(run, (run - offset - 1) % rise, rise)
    between = _euclid(swapped, ups - 1, over, up)
    return _join(_join(_power(over, before), up), _join(between, _power(over, after)))


def _join(a: Word, b: Word) -> Word:
    if a is EMPTY or b is EMPTY:
        return b if a is EMPTY else a
    later = None if b.lowest is None else a.sum + b.lowest
    known = [v for v in (a.lowest, later) if v is not None]
    return Word(a.length + b.length, a.sum + b.sum, min(known, default=None), a, b)


def _power(base: Word, times: int) -> Word:
    if times == 0:
        return EMPTY
    lowest = base.lowest
    if lowest is not None:
        lowest += min(0, (times - 1) * base.sum)
    return Word(base.length * times, base.sum * times, lowest, base)
