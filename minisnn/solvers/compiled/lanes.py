"""Neighbouring neurons side by side: vectors of `LANES` numbers that a kernel keeps in registers.

A loop over neurons inside a loop over time stores its state and fetches it again at every step. The compiler cannot
keep the state in registers by itself, because it must allow for arrays that overlap. So kernels take a block of
`LANES` neurons at a time through all of time, and `load` and `store` are the only places that touch memory::

    v = full(current.dtype.type(0))
    for t in range(n_steps):
        v = decay * v + load(current, t)
        store(membrane, t, v)

A block is an array (R, LANES); its rows are steps, inputs or samples. Large arrays keep the K blocks of a layer one
after the other, (K, R, LANES), so that the block in use stays in the nearest cache (`pack`). Small arrays keep them
side by side, (R, K * LANES), with zeros after the last neuron (`padded`); `columns` returns one of those blocks
without copying.

Without compilation the same lines run on slices of NumPy arrays. A mask (what a comparison returns) chooses
between two values by `where`; numbers beside lanes have the lanes' dtype. Each lane gets the additions and
multiplications of its neuron in the order in which they are written, so that results do not depend on how long
the vectors of a processor are.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, overload, register_model, type_callable
from numpy.typing import NDArray

from .jit import inlined, kernel

# Two of the longest vectors in use (64 bytes of float32), four or eight of the others: as many sums at a time hide
# what one addition takes.
LANES = 32
# Rows of all blocks that are copied together: what lies side by side in a wide matrix is then read and written so.
ROWS_COPIED = 16


def n_blocks(n: int) -> int:
    """Blocks that `n` neurons take.

    Examples
    --------
    >>> [n_blocks(n) for n in (1, 32, 33, 200)]
    [1, 1, 2, 7]
    """
    return -(-n // LANES)


def padded(values: NDArray[Any]) -> NDArray[Any]:
    """Copy `values` (R, N) into whole blocks side by side, (R, K * LANES), zeros after the last neuron."""
    n_rows, n = values.shape
    result = np.zeros((n_rows, n_blocks(n) * LANES), values.dtype)
    result[:, :n] = values
    return result


def unpadded(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Return the first `n` columns, contiguous.

    Examples
    --------
    >>> unpadded(padded(np.array([[1, 2, 3]])), 3)
    array([[1, 2, 3]])
    """
    return np.ascontiguousarray(values[:, :n])


@inlined
def columns(values, k):
    """Block `k` of `values` (R, N) where it is, (R, LANES)."""
    return values[:, k * LANES : (k + 1) * LANES]


@inlined
def copy_in(block, values, k):
    """Fill a block (R, LANES) with the `k`-th of `values` (R, N), and zeros after the last neuron."""
    start, width = k * LANES, min(LANES, values.shape[1] - k * LANES)
    for r in range(len(block)):
        for j in range(width):
            block[r, j] = values[r, start + j]
        for j in range(width, LANES):
            block[r, j] = 0


@inlined
def copy_out(values, block, k):
    """Make a block (R, LANES) the `k`-th of `values` (R, N)."""
    start, width = k * LANES, min(LANES, values.shape[1] - k * LANES)
    for r in range(len(block)):
        for j in range(width):
            values[r, start + j] = block[r, j]


@kernel
def pack(blocks, values, first, last):
    """Rows `first` to `last` of `values` (R, N) into blocks (K, R, LANES), a few rows of all blocks at a time."""
    for start in range(first, last, ROWS_COPIED):
        stop = min(start + ROWS_COPIED, last)
        for k in range(len(blocks)):
            copy_in(blocks[k, start:stop], values[start:stop], k)


@kernel
def unpack(values, blocks, first, last):
    """Rows `first` to `last` of blocks (K, R, LANES) into `values` (R, N)."""
    for start in range(first, last, ROWS_COPIED):
        stop = min(start + ROWS_COPIED, last)
        for k in range(len(blocks)):
            copy_out(values[start:stop], blocks[k, start:stop], k)


def load(block: Any, row: int) -> Any:
    """Return ``block[row]``, LANES numbers."""
    return block[row].copy()


def store(block: Any, row: int, value: Any) -> None:
    """``block[row] = value``."""
    block[row] = value


def full(number: Any) -> Any:
    """Return the number in all lanes."""
    return np.full(LANES, number)


def root(value: Any) -> Any:
    """Square root."""
    return np.sqrt(value)


def where(mask: Any, value: Any, other: Any) -> Any:
    """Choose lane by lane; `value` and `other` are lanes."""
    return np.where(mask, value, other)


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of lanes of one dtype (of boolean: a mask)."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        item = ir.IntType(1) if kind.dtype is types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(item, LANES))


def _spread(builder: Any, number: Any) -> Any:
    vector = ir.VectorType(number.type, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _address(context: Any, builder: Any, kind: Any, block: Any, row: Any, vector: Any) -> Any:
    made = context.make_array(kind)(context, builder, block)
    if kind.layout == "C":
        place = builder.mul(row, ir.Constant(row.type, LANES))
        return builder.bitcast(builder.gep(made.data, [place]), vector.as_pointer())
    stride = builder.extract_value(made.strides, 0)
    place = builder.add(builder.ptrtoint(made.data, row.type), builder.mul(row, stride))
    return builder.inttoptr(place, vector.as_pointer())


@intrinsic
def _load(typing_context, block, row):
    result = Lanes(block.dtype)

    def generate(context, builder, signature, arguments):
        kind, (block, row) = signature.args[0], arguments
        address = _address(context, builder, kind, block, row, context.get_value_type(result))
        return builder.load(address, align=kind.dtype.bitwidth // 8)

    return result(block, types.intp), generate


@intrinsic
def _store(typing_context, block, row, value):
    def generate(context, builder, signature, arguments):
        kind, (block, row, value) = signature.args[0], arguments
        address = _address(context, builder, kind, block, row, value.type)
        builder.store(value, address, align=kind.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(block, types.intp, value), generate


@intrinsic
def _full(typing_context, number):
    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0])

    return Lanes(number)(number), generate


@intrinsic
def _where(typing_context, mask, value, other):
    def generate(context, builder, signature, arguments):
        return builder.select(*arguments)

    return value(mask, value, other), generate


def _is_matrix(array: Any) -> bool:
    # "A" are columns cut out of a wider matrix: their rows are whole, only further apart.
    return isinstance(array, types.Array) and array.ndim == 2 and array.layout in "CA"


@overload(load)
def _compiled_load(block, row):
    return (lambda block, row: _load(block, row)) if _is_matrix(block) else None


@overload(store)
def _compiled_store(block, row, value):
    if not _is_matrix(block) or value != Lanes(block.dtype):
        return None
    return lambda block, row, value: _store(block, row, value)


@overload(full)
def _compiled_full(number):
    return lambda number: _full(number)


@overload(where)
def _compiled_where(mask, value, other):
    if mask != Lanes(types.boolean) or value != other:
        return None
    return lambda mask, value, other: _where(mask, value, other)


_NUMBERS = (types.Float, types.Integer)
_ARITHMETIC = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
_COMPARISONS = {operator.gt: ">", operator.lt: "<", operator.eq: "=="}


def _operand_dtype(left: Any, right: Any) -> Any:
    """The common dtype of two lanes, or of lanes and a number; None where this is not for us."""
    if not (isinstance(left, Lanes) or isinstance(right, Lanes)):
        return None
    kinds = {operand.dtype if isinstance(operand, Lanes) else operand for operand in (left, right)}
    return kinds.pop() if len(kinds) == 1 else None


def _both(builder: Any, signature: Any, arguments: Any) -> Any:
    return (
        value if isinstance(kind, Lanes) else _spread(builder, value)
        for kind, value in zip(signature.args, arguments)
    )


def _register_arithmetic(function: Any, instruction: str) -> None:
    @type_callable(function)
    def _typed(context):
        def typer(left, right):
            dtype = _operand_dtype(left, right)
            return None if dtype is None else Lanes(dtype)

        return typer

    def generate(context, builder, signature, arguments):
        return getattr(builder, instruction)(*_both(builder, signature, arguments))

    for left, right in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(function, left, right)(generate)


def _register_comparison(function: Any, symbol: str) -> None:
    @type_callable(function)
    def _typed(context):
        def typer(left, right):
            return None if _operand_dtype(left, right) is None else Lanes(types.boolean)

        return typer

    def generate(context, builder, signature, arguments):
        left, right = _both(builder, signature, arguments)
        if isinstance(left.type.element, ir.IntType):
            return builder.icmp_signed(symbol, left, right)
        return builder.fcmp_ordered(symbol, left, right)

    for left, right in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(function, left, right)(generate)


for _function, _instruction in _ARITHMETIC.items():
    _register_arithmetic(_function, _instruction)
for _function, _symbol in _COMPARISONS.items():
    _register_comparison(_function, _symbol)


@type_callable(abs)
def _typed_abs(context):
    return lambda value: value if isinstance(value, Lanes) else None


def _call(builder: Any, name: str, value: Any, kind: Any) -> Any:
    """Call LLVM's function `name` of one vector."""
    function_type = ir.FunctionType(value.type, [value.type])
    full_name = f"llvm.{name}.v{LANES}f{kind.dtype.bitwidth}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, full_name), [value])


@lower_builtin(abs, Lanes)
def _abs(context, builder, signature, arguments):
    return _call(builder, "fabs", arguments[0], signature.args[0])


@intrinsic
def _root(typing_context, value):
    def generate(context, builder, signature, arguments):
        return _call(builder, "sqrt", arguments[0], signature.args[0])

    return value(value), generate


@overload(root)
def _compiled_root(value):
    return (lambda value: _root(value)) if isinstance(value, Lanes) else None
