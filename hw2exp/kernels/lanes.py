"""Lanes: a vector type for kernels, with one number for each of 16 sequences.

Sequences of a batch are independent inside a cell, so a kernel computes 16 of them at once and
reads like the equations for a single one. ``Lanes`` is a numba type made of LLVM vectors:
``+ - * /`` and the functions below act on all 16 numbers. Nothing here depends on the number of
replicas or batches, so a replica has the same bits in every fleet. Each operation rounds as IEEE
754 says, and only :func:`fma`, where a kernel calls it, fuses two: all CPUs give the same bits.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 16
"""Sequences in a vector."""

BITS = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}
"""By dtype: bits of a number, bits of its mantissa, bias of its exponent (IEEE 754)."""


class Lanes(types.Type):  # type: ignore[misc]
    """The numba type of a vector.

    Args:
        dtype: dtype of one number, float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    """The data model of a vector: an LLVM vector."""

    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, WIDTH))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(array_type.dtype), WIDTH)
    return builder.gep(builder.bitcast(data, vector.as_pointer()), [row])


def _spread(builder: Any, vector: Any, number: Any) -> Any:
    """Return a vector with the same number 16 times."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, _lanes([0] * WIDTH))


def _lanes(numbers: Sequence[int]) -> Any:
    """Return the numbers of the lanes that a shuffle takes."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), [*numbers])


@intrinsic
def load(typing: Any, array: Any, row: Any) -> Any:
    """Load row ``row`` of a C-ordered array with 16 lanes as its last axis; rows are flattened."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=4)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, row: Any, value: Any) -> Any:
    """Store a row; see :func:`load`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, row, value = arguments
        pointer = _pointer(context, builder, signature.args[0], array, row)
        builder.store(value, pointer, align=4)

    return types.void(array, types.intp, value), generate


@intrinsic
def zeros(typing: Any, array: Any) -> Any:
    """Return zeros of an array's dtype."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Lanes(array.dtype)(array), generate


@intrinsic
def total(typing: Any, value: Any) -> Any:
    """Sum the 16 numbers pairwise, by halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        half = WIDTH // 2
        while half:
            lower, upper = (
                builder.shuffle_vector(value, value, _lanes(range(first, first + half)))
                for first in (0, half)
            )
            value = builder.fadd(lower, upper)
            half //= 2
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return value.dtype(value), generate


def _compare(name: str, sign: str) -> Callable[..., Any]:
    """Build a function that selects one of two vectors in each lane; the first if one is NaN."""

    @intrinsic
    def choose(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = context.get_value_type(signature.return_type)
            a, b = _as_vectors(builder, vector, signature, arguments)
            return builder.select(builder.fcmp_ordered(sign, b, a), b, a)

        return _common(a, b), generate

    choose.__name__ = name
    return choose  # type: ignore[no-any-return]


maximum = _compare("maximum", ">")
minimum = _compare("minimum", "<")


@intrinsic
def positive(typing: Any, value: Any) -> Any:
    """Return 1 where a number is positive or NaN, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        zero, one = (ir.Constant(vector, [number] * WIDTH) for number in (0.0, 1.0))
        below = builder.fcmp_ordered("<=", arguments[0], zero)
        return builder.select(below, zero, one)

    return value(value), generate


@intrinsic
def sqrt(typing: Any, value: Any) -> Any:
    """Compute the square root."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        name = f"llvm.sqrt.v{WIDTH}f{BITS[value.dtype][0]}"
        function = ir.FunctionType(vector, [vector])
        known = cgutils.get_or_insert_function(builder.module, function, name)
        return builder.call(known, arguments)

    return value(value), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute a b + c, rounded once; b and c may be numbers instead of vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        name = f"llvm.fma.v{WIDTH}f{BITS[a.dtype][0]}"
        function = ir.FunctionType(vector, [vector] * 3)
        known = cgutils.get_or_insert_function(builder.module, function, name)
        return builder.call(known, _as_vectors(builder, vector, signature, arguments))

    return _common(a, b, c), generate


@intrinsic
def power_of_two(typing: Any, number: Any) -> Any:
    """Compute 2ⁿ from n + ``rounder``, see :func:`hw2exp.kernels.functions.scale_and_rest`.

    The last bits of the sum are n. Shifted to the exponent's place, they make 2ⁿ.
    """
    bits, mantissa, bias = BITS[number.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        integers = ir.VectorType(ir.IntType(bits), WIDTH)
        n = builder.bitcast(arguments[0], integers)
        n = builder.add(n, ir.Constant(integers, [bias] * WIDTH))
        n = builder.shl(n, ir.Constant(integers, [mantissa] * WIDTH))
        return builder.bitcast(n, vector)

    return number(number), generate


def _common(*operands: Any) -> Any:
    """Return the signature of an operation on vectors, or on vectors and numbers."""
    lanes = next(t for t in operands if isinstance(t, Lanes))
    return lanes(*(t if isinstance(t, Lanes) else lanes.dtype for t in operands))


def _as_vectors(builder: Any, vector: Any, signature: Any, arguments: Any) -> list[Any]:
    return [
        argument if isinstance(kind, Lanes) else _spread(builder, vector, argument)
        for kind, argument in zip(signature.args, arguments, strict=True)
    ]


def _define(symbol: Any, instruction: str) -> None:
    """Define a Python operator for vectors."""

    @intrinsic
    def apply(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = context.get_value_type(signature.return_type)
            operands = _as_vectors(builder, vector, signature, arguments)
            return getattr(builder, instruction)(*operands)

        return _common(a, b), generate

    def operate(a: Any, b: Any) -> Any:
        return apply(a, b)

    @overload(symbol)
    def _(a: Any, b: Any) -> Any:
        return operate if isinstance(a, Lanes) or isinstance(b, Lanes) else None


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
