"""Vectors of numbers as values of compiled code: one number for each of ``LANES`` signals.

Arrays whose last axis has length ``LANES`` are read and written a vector at a time. In between,
vectors take the operators of numbers, so that a solver of many signals reads like one of a single
signal. The vectors are LLVM's, which become the registers of whatever processor there is; loops
over the lanes would do the same, but numba unrolls such short loops before it could vectorise them.

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
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, overload, register_model

__all__ = ["LANES", "any_lane", "fill", "load", "maximum", "minimum", "store", "where"]

# Compiled callers leave out the first parameter of these functions, which mypy cannot know.
intrinsic: Any = numba_intrinsic

# The float32 of a register of 256 bits. With 16, working sets no longer fit in the caches.
LANES = 8


class Lanes(types.Type):
    """One number, or truth value, in each lane."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """A vector of LLVM."""

    def __init__(self, manager, lanes):
        elements = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
        element = elements.get(lanes.dtype, ir.IntType(1))
        super().__init__(manager, lanes, ir.VectorType(element, LANES))


def _spread(context, builder, number, lanes):
    """Emit a vector that holds a number in every lane."""
    nothing = ir.Constant(context.get_value_type(lanes), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, everywhere)


def _as_lanes(context, builder, lanes, values, kinds):
    """Emit vectors for values of which some are numbers."""
    for value, kind in zip(values, kinds, strict=True):
        if isinstance(kind, Lanes):
            yield value
        else:
            number = context.cast(builder, value, kind, lanes.dtype)
            yield _spread(context, builder, number, lanes)


def _extend(python_function, emit, result=None):
    """Let a function of two numbers take vectors, given what emits its instruction."""

    @intrinsic
    def of_lanes(typingctx, first, second):
        lanes = first if isinstance(first, Lanes) else second

        def codegen(context, builder, signature, values):
            return emit(builder, *_as_lanes(context, builder, lanes, values, signature.args))

        return (result or lanes)(first, second), codegen

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
        full_name = f"llvm.{name}.v{LANES}f{bits}"
        function = cgutils.get_or_insert_function(builder.module, kind, full_name)
        return builder.call(function, vectors)

    return emit


# A product and a sum may become one instruction, but nothing is reordered.
CONTRACT = ("contract",)
TRUTHS = Lanes(types.boolean)
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "truediv": "fdiv"}
ARITHMETIC |= {"iadd": "fadd", "isub": "fsub"}
for name, instruction in ARITHMETIC.items():
    _extend(
        getattr(operator, name),
        lambda builder, a, b, emit=instruction: getattr(builder, emit)(a, b, flags=CONTRACT),
    )
for name, sign in {"gt": ">", "lt": "<", "le": "<=", "ne": "!="}.items():
    _extend(
        getattr(operator, name),
        lambda builder, a, b, sign=sign: builder.fcmp_unordered(sign, a, b),
        TRUTHS,
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
def any_lane(typingctx, truths):
    """Return whether a condition holds in any lane."""

    def codegen(context, builder, signature, values):
        bits = builder.bitcast(values[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(truths), codegen


@intrinsic
def fill(typingctx, number):
    """Return a vector that holds a number in every lane."""

    def codegen(context, builder, signature, values):
        return _spread(context, builder, values[0], signature.return_type)

    return Lanes(number)(number), codegen


def _address(context, builder, array, value, index):
    """Emit the address of the vector at an index into all axes but the last."""
    view = context.make_array(array)(context, builder, value)
    place = [*cgutils.unpack_tuple(builder, index), context.get_constant(types.intp, 0)]
    first = cgutils.get_item_pointer(context, builder, array, view, place)
    return builder.bitcast(first, context.get_value_type(Lanes(array.dtype)).as_pointer())


@intrinsic
def _load(typingctx, array, index):
    def codegen(context, builder, signature, values):
        address = _address(context, builder, array, *values)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, index), codegen


@intrinsic
def _store(typingctx, lanes, array, index):
    def codegen(context, builder, signature, values):
        address = _address(context, builder, array, *values[1:])
        builder.store(values[0], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(lanes, array, index), codegen


def load(array, *index):
    """Read the vector at an index into all axes of an array but its last."""


def store(lanes, array, *index):
    """Write a vector to an index into all axes of an array but its last."""


@overload(load)
def _extend_load(array, *index):
    return lambda array, *index: _load(array, index)


@overload(store)
def _extend_store(lanes, array, *index):
    return lambda lanes, array, *index: _store(lanes, array, index)
