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
from numba.extending import lower_builtin, register_model, type_callable
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


def _teach(function: Any, typer: Any, generate: Any, *signatures: Any) -> None:
    """Give Numba the type of what `function` returns, and its code for arguments of the types in `signatures`."""
    type_callable(function)(lambda context: typer)
    for signature in signatures:
        lower_builtin(function, *signature)(generate)


def _is_matrix(array: Any) -> bool:
    # "A" are columns cut out of a wider matrix: their rows are whole, only further apart.
    return isinstance(array, types.Array) and array.ndim == 2 and array.layout in "CA"


def _load_type(block, row):
    return Lanes(block.dtype)(block, types.intp) if _is_matrix(block) else None


def _load(context, builder, signature, arguments):
    kind, (block, row) = signature.args[0], arguments
    address = _address(context, builder, kind, block, row, context.get_value_type(signature.return_type))
    return builder.load(address, align=kind.dtype.bitwidth // 8)


def _store_type(block, row, value):
    fits = _is_matrix(block) and value == Lanes(block.dtype)
    return types.void(block, types.intp, value) if fits else None


def _store(context, builder, signature, arguments):
    kind, (block, row, value) = signature.args[0], arguments
    address = _address(context, builder, kind, block, row, value.type)
    builder.store(value, address, align=kind.dtype.bitwidth // 8)
    return context.get_dummy_value()


def _full_type(number):
    return Lanes(number)


def _full(context, builder, signature, arguments):
    return _spread(builder, *arguments)


def _where_type(mask, value, other):
    return value if mask == Lanes(types.boolean) and value == other else None


def _where(context, builder, signature, arguments):
    return builder.select(*arguments)


_teach(load, _load_type, _load, (types.Array, types.Integer))
_teach(store, _store_type, _store, (types.Array, types.Integer, Lanes))
_teach(full, _full_type, _full, (types.Number,))
_teach(where, _where_type, _where, (Lanes, Lanes, Lanes))


def _operand_dtype(left: Any, right: Any) -> Any:
    """The common dtype of two lanes, or of lanes and a number; None where this is not for us."""
    if not (isinstance(left, Lanes) or isinstance(right, Lanes)):
        return None
    kinds = {operand.dtype if isinstance(operand, Lanes) else operand for operand in (left, right)}
    return kinds.pop() if len(kinds) == 1 else None


def _arithmetic_type(left, right):
    dtype = _operand_dtype(left, right)
    return None if dtype is None else Lanes(dtype)


def _comparison_type(left, right):
    return None if _operand_dtype(left, right) is None else Lanes(types.boolean)


def _on_both(generate: Any) -> Any:
    """Code of an operator; a number beside lanes is spread first."""

    def with_lanes(context, builder, signature, arguments):
        typed = zip(signature.args, arguments)
        return generate(
            builder, *(v if isinstance(kind, Lanes) else _spread(builder, v) for kind, v in typed)
        )

    return with_lanes


def _compare(symbol: str) -> Any:
    def generate(builder, left, right):
        if isinstance(left.type.element, ir.IntType):
            return builder.icmp_signed(symbol, left, right)
        return builder.fcmp_ordered(symbol, left, right)

    return generate


def _with_number(number: Any) -> tuple[Any, ...]:
    return (Lanes, Lanes), (Lanes, number), (number, Lanes)


_ARITHMETIC = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
for _function, _name in _ARITHMETIC.items():
    _teach(_function, _arithmetic_type, _on_both(getattr(ir.IRBuilder, _name)), *_with_number(types.Float))
for _function, _name in {operator.gt: ">", operator.lt: "<", operator.eq: "=="}.items():
    _teach(_function, _comparison_type, _on_both(_compare(_name)), *_with_number(types.Number))


def _unary_type(value):
    return value if isinstance(value, Lanes) else None


def _llvm(name: str) -> Any:
    """Code that calls LLVM's function `name` of one vector."""

    def generate(context, builder, signature, arguments):
        vector = arguments[0].type
        full_name = f"llvm.{name}.v{LANES}f{signature.args[0].dtype.bitwidth}"
        called = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), full_name)
        return builder.call(called, arguments)

    return generate


_teach(abs, _unary_type, _llvm("fabs"), (Lanes,))
_teach(root, _unary_type, _llvm("sqrt"), (Lanes,))
