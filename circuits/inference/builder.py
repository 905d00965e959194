"""Collects the relations of an inference program, with every bound checked (docs/inference.md §4, protocol §13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from huref.circuits.inference.limits import reach_by_shift
from huref.circuits.model.tensors import BIAS, DIGIT, DIGITS, STEP, kind_of
from huref.circuits.program.program import Weight
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix, positions_of
from huref.circuits.relations.products import ColumnScale, Product, Sum
from huref.circuits.relations.program import Look, Number, Operand, Own, Prompts, Relations, Repeated
from huref.circuits.relations.terms import (
    Along,
    Cells,
    Equation,
    Factor,
    Linear,
    Public,
    Select,
    Sparse,
    Stored,
    by_inner,
)
from huref.common.algebra.field import P
from huref.common.errors import Unsupported

Extra = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Steps:
    """Secret shifts s of rows of a weight, 2^s and ⌊2^s / 2⌋, by inner index and row; s is in `low`…`high`.

    Where the largest are so large that integers of these rows must be smaller, `coarse` counts by how much s is above
    the largest one of the others, and `reaches` are what the integers are at most, by this count.
    """

    shift: Matrix
    power: Matrix
    half: Matrix
    low: int
    high: int
    coarse: Matrix | None
    reaches: tuple[int, ...]


def limb_cells(
    pair: tuple[Matrix, Matrix],
    limb: int,
    shifts: int | tuple[int, ...],
    select: Select = None,
    sign: int = 1,
) -> tuple[Cells, Cells]:
    """± 2^shift · (hi · 2^limb + lo), the shift one number or one per inner index."""

    def factor(more: int) -> Factor:
        return sign << shifts + more if isinstance(shifts, int) else tuple(sign << s + more for s in shifts)

    return Cells(pair[0], factor(limb), select), Cells(pair[1], factor(0), select)


@dataclass
class Builder:
    """What has been collected. `lengths` are those of the sequences, `secret` are the ranges of secret shifts that the
    facts allow, by tensor.
    """

    lengths: tuple[int, ...]
    secret: Mapping[str, tuple[int, int]]
    matrices: list[Matrix] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    prompts: Prompts | None = None
    _looks: list[tuple[Look, bool]] = field(default_factory=list)
    _shifts: set[int] = field(default_factory=set)

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)

    @property
    def positions(self) -> tuple[int, ...]:
        """Every token's position in its sequence."""
        return tuple(positions_of(self.lengths).tolist())

    def matrix(self, name: str, frame: Frame, largest: int, *, flat: bool = False) -> Matrix:
        """A new matrix, of integers of absolute value at most `largest`."""
        made = Matrix(name, frame, largest, flat)
        self.matrices.append(made)
        return made

    def limbs(
        self, label: str, frame: Frame, table: Table, parts: tuple[str, str] = (".high", ".low")
    ) -> tuple[Matrix, Matrix]:
        """Both limbs of values, in a table `limbs`; the matrices are called by the label and its parts."""
        height, bits = table.parameters
        high, low = (
            self.matrix(label + parts[0], frame, height),
            self.matrix(label + parts[1], frame, 1 << bits >> 1),
        )
        self.look(label, table, Own(high), Own(low))
        return high, low

    def named(self, name: str) -> Matrix:
        """A matrix that is there."""
        return next(matrix for matrix in self.matrices if matrix.name == name)

    def look(self, label: str, table: Table, *operands: Operand) -> None:
        """The operands' tuples are in the table; the first `Own` gives the frame."""
        self._looks.append((self._look(label, table, operands), False))

    def remainder(self, label: str, shift: Operand, value: Operand, shifts: Sequence[int]) -> None:
        """0 ≤ value < 2^shift, where the shift is one of `shifts`."""
        self._shifts |= set(shifts)
        self._looks.append((self._look(label, Table("remainder", ()), (shift, value)), True))

    def rest(self, name: str, frame: Frame, shifts: tuple[int, ...]) -> tuple[Cells, Public]:
        """What rounding by public shifts, one for every inner index, adds to an accumulator: a remainder of its own,
        taken off, and half of 2^shift.
        """
        rest = self.matrix(name, frame, (1 << max(shifts)) - 1)
        self.remainder(name, Number(shifts), Own(rest), shifts)
        return Cells(rest, -1), Public(tuple((1 << s) >> 1 for s in shifts))

    def clamped(
        self, name: str, frame: Frame, clamp: int, shifts: tuple[int, ...]
    ) -> tuple[Matrix, Cells, Public, Matrix]:
        """A new matrix that is h clipped to ±clamp; what rounding by public shifts to h adds; and h."""
        reach = 1 << (4 * clamp).bit_length()
        h, out = self.matrix(f"{name}.h", frame, reach), self.matrix(name, frame, clamp)
        self.look(f"{name}.clamp", Table("clamp", (reach, clamp, -clamp)), Own(h), Own(out))
        rest, half = self.rest(f"{name}.rest", frame, shifts)
        return out, rest, half, h

    def bits(self, label: str, matrix: Matrix, bits: int, offset: int = 0) -> None:
        """0 ≤ entry + offset < 2^bits."""
        self.remainder(label, Number(bits), Own(matrix, offset), (bits,))

    def number(self, name: str, frame: Frame, bits: int) -> Matrix:
        """A new flat matrix of numbers of so many bits."""
        made = self.matrix(name, frame, (1 << bits) - 1, flat=True)
        self.bits(name, made, bits)
        return made

    @staticmethod
    def _look(label: str, table: Table, operands: tuple[Operand, ...]) -> Look:
        own = next(operand.matrix for operand in operands if isinstance(operand, Own))
        return Look(label, table, own.frame, own.flat, operands)

    def equation(self, name: str, frame: Frame, bound: int, *linear: Linear) -> str:
        """A new equation, whose terms have sums of absolute value at most `bound`.

        Raises:
            Unsupported: that is not below p.
        """
        if bound >= P:
            raise Unsupported(f"inference: {name} may exceed the field ({bound:.3g})")
        self.equations.append(Equation(name, frame, linear))
        return name

    def product(self, product: Product) -> None:
        """A product of an equation."""
        self.products.append(product)

    def steps(
        self,
        name: str,
        tensors: Sequence[str],
        rows: int,
        bases: Sequence[int],
        extras: Sequence[Extra],
        reach: int,
        bound: int,
        uneven: bool = True,
    ) -> Steps:
        """Secret shifts base − step + extra of every row of `tensors`.

        The equation acc + ⌊2^s / 2⌋ − ℓ = h·2^s of an accumulator |acc| ≤ bound must have one solution. Where it has
        not for every shift that the facts allow and |h| ≤ reach, `reached` must say what h is; if that is not possible
        (`uneven` is false), there is no program.

        Raises:
            Unsupported: there is no shift that fits, or rows are too different in size.
        """
        low, high = self.secret[kind_of(tensors[0])]
        most, reaches = reach_by_shift(bound, reach, low, high)
        if most < low:
            raise Unsupported(f"inference: {name} has no shift that fits the field")
        if most < high and not uneven:
            raise Unsupported(f"inference: rows of {name} are too different in size")
        frame = Frame(1, len(tensors), 1, rows)
        shift = self.matrix(f"{name}.shift", frame, high)
        power = self.matrix(f"{name}.power", frame, 1 << high)
        half = self.matrix(f"{name}.half", frame, 1 << high)
        self.look(f"{name}.power", Table("power", (low, high)), Own(shift), Own(power), Own(half))
        coarse = None
        if most < high:
            coarse = self.matrix(f"{name}.coarse", frame, high - most)
            self.look(f"{name}.coarse", Table("coarse", (low, high, most)), Own(shift), Own(coarse))
        entries = [(i, row, -by) for i, extra in enumerate(extras) for row, by in extra]
        self.equation(
            f"{name}.shift",
            frame,
            1 << 12,
            Cells(shift),
            Stored(tuple(tensor + STEP for tensor in tensors)),
            Public(tuple(-base for base in bases)),
            Sparse(tuple(entries)),
        )
        return Steps(shift, power, half, low, high, coarse, reaches)

    def reached(self, name: str, steps: Steps, h: Matrix, out: Matrix, clamp: int, limb: int = 0) -> None:
        """`out` is h clipped to ±clamp, and h · 2^limb, with what a limb below it adds, no larger than its row's shift
        allows.
        """
        if steps.coarse is None:
            raise ValueError(f"{name}: every integer is as large as its table")
        heights = [reach - (1 << limb >> 1) >> limb for reach in steps.reaches]
        if min(heights) < 1:
            raise Unsupported(f"inference: rows of {name} are too different in size")
        table = Table("shifted", (clamp, 0, *heights))
        self.look(f"{name}.reach", table, Repeated(steps.coarse), Own(h), Own(out))

    def rounded(self, name: str, frame: Frame, steps: Steps, quotient: Sum, *linear: Linear) -> str:
        """acc + half − ℓ − quotient·2^s = 0 with a remainder of its own; returns the equation, for acc's products."""
        rest = self.matrix(f"{name}.rest", frame, (1 << steps.high) - 1)
        shifts = range(steps.low, steps.high + 1)
        self.remainder(f"{name}.rest", Repeated(steps.shift), Own(rest), shifts)
        equation = self.equation(name, frame, P - 1, Along(steps.half), Cells(rest, -1), *linear)
        self.product(ColumnScale(equation, quotient, steps.power, -1))
        return equation

    @staticmethod
    def bias(tensors: Sequence[str], named: str, factor: Factor = 1) -> tuple[Stored, ...]:
        """The digits of the biases of `tensors`, if the site of the first one names one."""
        if not named:
            return ()
        by = by_inner(factor, len(tensors))
        return tuple(
            Stored(tuple(tensor + BIAS for tensor in tensors), tuple(x << (DIGIT * row) for x in by), row)
            for row in range(DIGITS)
        )

    def finish(self, stack: tuple[Weight, ...]) -> Relations:
        """The relations; `stack` is the commitment."""
        remainders = Table("remainder", tuple(sorted(self._shifts)))
        looks = tuple(
            Look(look.label, remainders, look.frame, look.flat, look.operands) if rest else look
            for look, rest in self._looks
        )
        return Relations(
            stack, tuple(self.matrices), looks, tuple(self.equations), tuple(self.products), self.prompts
        )
