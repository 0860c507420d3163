"""Vectors of numbers as values of compiled code.

Arrays are read and written a vector at a time; in between, vectors take the operators of numbers.
The vectors are LLVM's, which become the registers of whatever processor there is. Compilers
vectorise long loops by themselves, but not short ones, nor sums in a given order.

numba's cache on disk only looks at the file of the function that it compiles: after a change here,
touch the modules that import this one.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, overload, register_model

__all__ = [
    "count_lanes",
    "fill",
    "gather",
    "largest",
    "load",
    "load_panel",
    "lowest_bit",
    "mask_of",
    "maximum",
    "minimum",
    "n_lanes",
    "panel_width",
    "smallest",
    "store",
    "total",
    "where",
]

# Compiled callers leave out the first parameter of these functions, which mypy cannot know.
intrinsic: Any = numba_intrinsic

# Of a vector; processors without registers of this size use several.
BITS = 512
# Of a panel: six sums of this size, and what they need, fit the registers of what numba compiles
# for, which is a key of its cache.
_, _, FEATURES = cpu_target.target_context.codegen().magic_tuple()
PANEL_BITS = 1024 if "+avx512f" in FEATURES else 512


class Lanes(types.Type):
    """A vector or a panel: one number, or truth value, in each lane."""

    def __init__(self, dtype, count):
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")


def lanes_of(dtype):
    """Return the vector of numbers of a type."""
    return Lanes(dtype, BITS // dtype.bitwidth)


def n_lanes(array):
    """Return how many numbers of an array make a vector."""
    return BITS // (8 * array.itemsize)


@overload(n_lanes)
def _extend_n_lanes(array):
    count = BITS // array.dtype.bitwidth
    return lambda array: count


def panel_width(array):
    """Return how many numbers of an array make a panel, a whole number of vectors."""
    return PANEL_BITS // (8 * array.itemsize)


@overload(panel_width)
def _extend_panel_width(array):
    count = PANEL_BITS // array.dtype.bitwidth
    return lambda array: count


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """A vector of LLVM."""

    def __init__(self, manager, lanes):
        elements = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
        element = elements.get(lanes.dtype, ir.IntType(1))
        super().__init__(manager, lanes, ir.VectorType(element, lanes.count))


def _spread(context, builder, number, lanes):
    """Emit a vector that holds a number in every lane."""
    nothing = ir.Constant(context.get_value_type(lanes), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), [0] * lanes.count)
    return builder.shuffle_vector(first, nothing, everywhere)


def _as_lanes(context, builder, lanes, values, kinds):
    """Emit vectors for values of which some are numbers."""
    for value, kind in zip(values, kinds, strict=True):
        if isinstance(kind, Lanes):
            yield value
        else:
            number = context.cast(builder, value, kind, lanes.dtype)
            yield _spread(context, builder, number, lanes)


def _extend(python_function, emit, compares=False):
    """Let a function of two numbers take vectors, given what emits its instruction."""

    @intrinsic
    def of_lanes(typingctx, first, second):
        lanes = first if isinstance(first, Lanes) else second

        def codegen(context, builder, signature, values):
            return emit(builder, *_as_lanes(context, builder, lanes, values, signature.args))

        result = Lanes(types.boolean, lanes.count) if compares else lanes
        return result(first, second), codegen

    @overload(python_function)
    def choose(first, second):
        if isinstance(first, Lanes) or isinstance(second, Lanes):
            return lambda first, second: of_lanes(first, second)
        return None


def maximum(first, second):
    """Return the larger of two numbers in each lane."""


def minimum(first, second):
    """Return the smaller of two numbers in each lane."""


def _emit_intrinsic(name):
    def emit(builder, *vectors):
        vector = vectors[0].type
        bits = 32 if vector.element == ir.FloatType() else 64
        kind = ir.FunctionType(vector, [vector] * len(vectors))
        full_name = f"llvm.{name}.v{vector.count}f{bits}"
        function = cgutils.get_or_insert_function(builder.module, kind, full_name)
        return builder.call(function, vectors)

    return emit


# A product and a sum may become one instruction, but nothing is reordered.
CONTRACT = ("contract",)
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "truediv": "fdiv"}
ARITHMETIC |= {"iadd": "fadd", "isub": "fsub"}
for name, instruction in ARITHMETIC.items():
    _extend(
        getattr(operator, name),
        lambda builder, a, b, emit=instruction: getattr(builder, emit)(a, b, flags=CONTRACT),
    )
for name, sign in {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "ne": "!="}.items():
    _extend(
        getattr(operator, name),
        lambda builder, a, b, sign=sign: builder.fcmp_unordered(sign, a, b),
        compares=True,
    )
_extend(operator.and_, lambda builder, a, b: builder.and_(a, b))
_extend(maximum, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
_extend(minimum, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
_extend(np.copysign, _emit_intrinsic("copysign"))


@intrinsic
def _square_root(typingctx, lanes):
    def codegen(context, builder, signature, values):
        return _emit_intrinsic("sqrt")(builder, *values)

    return lanes(lanes), codegen


@overload(np.sqrt)
def _extend_sqrt(x):
    return (lambda x: _square_root(x)) if isinstance(x, Lanes) else None


@overload(operator.neg)
def _extend_neg(x):
    return (lambda x: 0 - x) if isinstance(x, Lanes) else None


@overload(abs)
def _extend_abs(x):
    return (lambda x: maximum(x, -x)) if isinstance(x, Lanes) else None


@intrinsic
def where(typingctx, truths, first, second):
    """Choose between two numbers in each lane; one at least must be a vector."""
    lanes = first if isinstance(first, Lanes) else second

    def codegen(context, builder, signature, values):
        vectors = _as_lanes(context, builder, lanes, values[1:], signature.args[1:])
        return builder.select(values[0], *vectors)

    return lanes(truths, first, second), codegen


@intrinsic
def mask_of(typingctx, truths):
    """Return the number whose bits say in which lanes a condition holds."""

    def codegen(context, builder, signature, values):
        bits = builder.bitcast(values[0], ir.IntType(truths.count))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(truths), codegen


@intrinsic
def lowest_bit(typingctx, mask):
    """Return the place of the lowest bit that is set; one must be."""

    def codegen(context, builder, signature, values):
        return builder.cttz(values[0], ir.IntType(1)(1))

    return types.int64(types.int64), codegen


def _reduce(name):
    """Make a function that reduces a vector to the smallest or the largest number in it."""

    @intrinsic
    def reduce(typingctx, lanes):
        def codegen(context, builder, signature, values):
            (vector,) = values
            bits = 32 if vector.type.element == ir.FloatType() else 64
            kind = ir.FunctionType(vector.type.element, [vector.type])
            full_name = f"llvm.vector.reduce.{name}.v{vector.type.count}f{bits}"
            function = cgutils.get_or_insert_function(builder.module, kind, full_name)
            return builder.call(function, values, fastmath=("nnan",))

        return lanes.dtype(lanes), codegen

    return reduce


smallest, largest = _reduce("fmin"), _reduce("fmax")


@intrinsic
def total(typingctx, lanes):
    """Return the sum of the numbers in a vector."""

    def codegen(context, builder, signature, values):
        (vector,) = values
        element = vector.type.element
        bits = 32 if element == ir.FloatType() else 64
        kind = ir.FunctionType(element, [element, vector.type])
        full_name = f"llvm.vector.reduce.fadd.v{vector.type.count}f{bits}"
        function = cgutils.get_or_insert_function(builder.module, kind, full_name)
        return builder.call(function, [element(0), vector], fastmath=("reassoc",))

    return lanes.dtype(lanes), codegen


@intrinsic
def count_lanes(typingctx, truths):
    """Return in how many lanes a condition holds."""

    def codegen(context, builder, signature, values):
        bits = builder.bitcast(values[0], ir.IntType(truths.count))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(truths), codegen


@intrinsic
def fill(typingctx, number):
    """Return a vector that holds a number in every lane."""

    def codegen(context, builder, signature, values):
        return _spread(context, builder, values[0], signature.return_type)

    return lanes_of(number)(number), codegen


def _address(context, builder, lanes, array, value, index):
    """Emit the address of the vector or panel that starts at an index."""
    view = context.make_array(array)(context, builder, value)
    place = cgutils.unpack_tuple(builder, index)
    first = cgutils.get_item_pointer(context, builder, array, view, place)
    return builder.bitcast(first, context.get_value_type(lanes).as_pointer())


def _make_load(bits):
    """Make a function that reads so many bits from an array at once."""

    @intrinsic
    def load_lanes(typingctx, array, index):
        lanes = Lanes(array.dtype, bits // array.dtype.bitwidth)

        def codegen(context, builder, signature, values):
            address = _address(context, builder, lanes, array, *values)
            return builder.load(address, align=array.dtype.bitwidth // 8)

        return lanes(array, index), codegen

    return load_lanes


_load, _load_panel = _make_load(BITS), _make_load(PANEL_BITS)


@intrinsic
def _store(typingctx, lanes, array, index):
    def codegen(context, builder, signature, values):
        address = _address(context, builder, lanes, array, *values[1:])
        builder.store(values[0], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(lanes, array, index), codegen


def load(array, *index):
    """Read the vector that starts at an index, along the last axis."""


def load_panel(array, *index):
    """Read the panel that starts at an index, along the last axis."""


@intrinsic
def gather(typingctx, array, places, start):
    """Read the numbers at a vector of places, which starts at an index."""
    lanes = lanes_of(array.dtype)

    def codegen(context, builder, signature, values):
        numbers, indices = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:2], values[:2], strict=True)
        )
        vector = ir.Constant(context.get_value_type(lanes), ir.Undefined)
        for lane in range(lanes.count):
            index = builder.add(values[2], values[2].type(lane))
            place = builder.load(
                cgutils.get_item_pointer(context, builder, places, indices, [index])
            )
            place = context.cast(builder, place, places.dtype, types.intp)
            number = builder.load(
                cgutils.get_item_pointer(context, builder, array, numbers, [place])
            )
            vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    return lanes(array, places, types.intp), codegen


def store(lanes, array, *index):
    """Write a vector or a panel along the last axis, from an index on."""


@overload(load)
def _extend_load(array, *index):
    return lambda array, *index: _load(array, index)


@overload(load_panel)
def _extend_load_panel(array, *index):
    return lambda array, *index: _load_panel(array, index)


@overload(store)
def _extend_store(lanes, array, *index):
    return lambda lanes, array, *index: _store(lanes, array, index)
