"""Both sides of a comparison by day, provider and model, and what was taken from each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.domain import tiers_named
from monitor.domain.aliases import provider_id
from monitor.domain.model_names import ModelNames
from monitor.domain.reconciled import Cause, Charge, Finding, Use
from monitor.domain.steady import LEAST_DAYS


@dataclass
class Cell:
    """One day, provider and model; what a step takes leaves both sides nearer to each other."""

    key: tuple[int, str, str]
    charges: list[Charge] = field(default_factory=list)
    uses: list[tuple[str, Use]] = field(default_factory=list)
    """With each one's bare model."""
    causes: dict[Cause, int] = field(default_factory=lambda: defaultdict(int))
    billed: int = 0
    estimated: int = 0
    whole_bill: int = 0
    """Before any step."""

    @property
    def day(self) -> int:
        """The UTC midnight."""
        return self.key[0]

    @property
    def provider(self) -> str:
        """Its canonical name."""
        return self.key[1]

    @property
    def model(self) -> str:
        """Its bare name; '' where the day's bill names none."""
        return self.key[2]

    @property
    def whole_estimate(self) -> int:
        """Before any step."""
        return sum(use.pico for _, use in self.uses)

    @property
    def used(self) -> list[Use]:
        """What was used, without the bare models."""
        return [use for _, use in self.uses]

    @property
    def rest(self) -> int:
        """What no step has explained yet."""
        return self.billed - self.estimated

    @property
    def unpriced(self) -> int:
        """Tokens that are in no amount."""
        return sum(use.unpriced for _, use in self.uses)

    @property
    def comparable(self) -> bool:
        """Whether a ratio of both sides says something."""
        return self.billed > 0 and self.estimated > 0 and not self.unpriced

    def take_from_bill(self, cause: Cause, pico: int) -> int:
        """A part of the bill that a cause explains: the bill moves toward the estimate."""
        self.causes[cause] += pico
        self.billed -= pico
        return pico

    def take(self, cause: Cause, pico: int) -> int:
        """A part of the rest that a cause explains: the estimate moves toward the bill."""
        self.causes[cause] += pico
        self.estimated += pico
        return pico


class Case(NamedTuple):
    """All cells of an account by day, and the days that are not final."""

    cells: list[Cell]
    open_days: frozenset[int]

    def by_provider(self) -> dict[str, list[Cell]]:
        """Cells of each provider, in their order."""
        found: dict[str, list[Cell]] = defaultdict(list)
        for cell in self.cells:
            found[cell.provider].append(cell)
        return found

    def by_model(self) -> dict[tuple[str, str], list[Cell]]:
        """Cells of each provider and model, in their order."""
        found: dict[tuple[str, str], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            found[cell.provider, cell.model].append(cell)
        return found


def cells_of(charges: Iterable[Charge], uses: Iterable[Use], names: ModelNames) -> Iterator[Cell]:
    """By day, provider and model; where a day's bill names no model, its models are one.

    Where one charge is for a month, its tokens are those of the month.
    """
    found: dict[tuple[int, str, str], Cell] = {}
    naming: dict[tuple[int, str], bool] = defaultdict(bool)
    for charge in charges:
        model = names.bare(charge.provider, charge.model)
        key = (charge.day, provider_id(charge.provider), model)
        found.setdefault(key, Cell(key)).charges.append(charge)
        if is_by_token(charge):
            naming[key[:2]] |= bool(model)
    for use in uses:
        model, provider = names.bare(use.provider, use.model), provider_id(use.provider)
        key = (use.day, provider, model if naming.get((use.day, provider), True) else "")
        found.setdefault(key, Cell(key)).uses.append((model, use))
    for cell in _by_month(found.values()):
        cell.whole_bill = sum(charge.pico for charge in cell.charges)
        cell.billed, cell.estimated = cell.whole_bill, cell.whole_estimate
        yield cell


def is_by_token(charge: Charge) -> bool:
    """Whether a line of the bill can be compared with tokens."""
    return charge.pico > 0 and not tiers_named.not_by_token(charge.item, charge.model)


def _by_month(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Cells without those whose tokens the only charge of a provider or a model is for."""
    case = Case(list(cells), frozenset())
    for provider in case.by_provider().values():
        billed = [cell for cell in provider if any(map(is_by_token, cell.charges))]
        whole = len(billed) == 1 and not billed[0].model
        keys = {cell.key for cell in billed}
        for each in [provider] if whole else case._replace(cells=provider).by_model().values():
            charged = [cell for cell in each if cell.key in keys]
            yield from _moved(charged[0], each) if len(charged) == 1 else each


def _moved(month: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """The cells with their tokens in that of the month's charge, if that is nearer to it."""
    others = [cell for cell in cells if cell is not month]
    more = sum(cell.whole_estimate for cell in others)
    bill = sum(charge.pico for charge in month.charges if is_by_token(charge))
    rest = bill - month.whole_estimate
    if sum(bool(cell.uses) for cell in cells) < LEAST_DAYS or abs(rest - more) >= abs(rest):
        return list(cells)
    month.uses += [use for cell in others for use in cell.uses]
    for cell in others:
        cell.uses = []
    return [cell for cell in cells if cell is month or cell.charges]


def plain(cell: Cell, open_days: Collection[int]) -> bool:
    """Whether the ratio of a cell is one of prices: final on both sides, and of no other tier."""
    final = cell.comparable and cell.day not in open_days
    return final and not tiers_named.seen(cell.charges, cell.used)


def finding_on(
    cause: Cause, cells: Sequence[Cell], pico: int, seen: str, remedy: str = ""
) -> list[Finding]:
    """One finding about these cells, all of one provider; none about none."""
    if not cells or not pico:
        return []
    models = sorted({model for cell in cells for model in _models(cell)})
    days = sorted({cell.day for cell in cells})
    found = Finding(cause, cells[0].provider, tuple(models), tuple(days), pico, seen, remedy)
    return [found]


def _models(cell: Cell) -> Iterator[str]:
    yield from filter(None, [cell.model, *(model for model, _ in cell.uses)])


def each_provider(case: Case, cause: Cause, took: Mapping[int, int], *words: str) -> list[Finding]:
    """A finding for each provider from what was taken, by the number of the cell."""
    found = []
    for cells in _grouped(case, took).values():
        pico = sum(took[number] for number, _ in cells)
        found += finding_on(cause, [cell for _, cell in cells], pico, *words)
    return found


def _grouped(case: Case, took: Mapping[int, int]) -> dict[str, list[tuple[int, Cell]]]:
    groups: dict[str, list[tuple[int, Cell]]] = defaultdict(list)
    for number, cell in enumerate(case.cells):
        if took.get(number):
            groups[cell.provider].append((number, cell))
    return groups


def nearer(pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether the rests are smaller in sum once these amounts are added to them."""
    return sum(abs(rest + more) for rest, more in pairs) < sum(abs(rest) for rest, _ in pairs)
