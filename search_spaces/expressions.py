"""The expression language of `derive`, `when` and `resources`. Expressions are parsed here and never eval'ed.

An expression is arithmetic over names and numbers: `+ - * / // % **`, comparisons, `a if c else b`, `and`, `or`,
`not`, and the functions min, max, sqrt, log2, round and int. Words can only be compared, by `==` and `!=`:
`schedule == 'cosine'`.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from trainable.errors import UserError
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.wording import format_value, nearest

Number = int | float
Operand = Number | str

MAX_LENGTH = 500
MAX_EXPONENT = 64
MAX_DIGITS = 300
"""Largest number of digits before or after the point that `round` keeps."""
MAX_BITS = 1024
"""Number of bits of the largest whole number; floats end there, too."""

_ASSIGNMENT = re.compile("[^=!<>]=[^=]")

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ALLOWED = (
    ast.Name, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.Pow, ast.USub, ast.UAdd, ast.Not, ast.boolop, *_BINARY, *_COMPARE,
)  # fmt: skip


def _round(number: Number, *digits: Any) -> Number:  # noqa: ANN401 (`round` refuses what is no whole number)
    if any(abs(given) > MAX_DIGITS for given in digits):
        raise UserError(f"round to {format_value(digits[0])} digits: at most {MAX_DIGITS}")
    return round(number, *digits)


FUNCTIONS: dict[str, Callable[..., Number]] = {
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "log2": math.log2,
    "round": _round,
    "int": int,
}


class Expression:
    """A parsed expression. `names` are the names that it uses."""

    def __init__(self, text: str) -> None:
        """Parse an expression.

        Raises:
            UserError: The text is not an expression of this language.
        """
        self.text = text
        if len(text) > MAX_LENGTH:
            raise UserError(f"the expression is longer than {MAX_LENGTH} characters")
        try:
            self._root = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            compared = ": use == to compare" if _ASSIGNMENT.search(text) else ""
            raise UserError(f"cannot read the expression {text!r}{compared}") from None
        inner = {id(node.func) for node in ast.walk(self._root) if isinstance(node, ast.Call)}
        inner |= {id(node.value) for node in ast.walk(self._root) if isinstance(node, ast.Attribute)}
        words = {
            id(operand)
            for node in ast.walk(self._root)
            if isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
            for operand in (node.left, *node.comparators)
        }
        for node in ast.walk(self._root):
            _check_node(node, text, may_be_word=id(node) in words)
        named = (_name(node) for node in ast.walk(self._root) if id(node) not in inner)
        self.names = frozenset(name for name in named if name is not None)

    def compute(self, values: Mapping[str, Operand]) -> Number:
        """Compute the value.

        Args:
            values: number or word of each name.

        Raises:
            UserError: A name has no number, or the result is not finite.
        """
        try:
            result = _compute(self._root, values)
            finite = math.isfinite(result)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise UserError(f"{self.text!r} cannot be computed: {error}") from None
        except RecursionError:
            raise UserError(f"{self.text!r} has too many operations inside each other") from None
        if not finite:
            raise UserError(f"{self.text!r} gives {result}")
        return result


def operands_of(values: Mapping[str, Any]) -> dict[str, Operand]:
    """The values that expressions can use: numbers, words and booleans (true counts as 1), but no lists."""
    return {name: value for name, value in values.items() if isinstance(value, int | float | str)}


def _name(node: ast.AST) -> str | None:
    """The name that a node stands for, such as `lr` or `model_args.width`; None if it is no name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=name), attr=argument) if f"{name}." == ARGUMENT_PREFIX:
            return f"{name}.{argument}"
    return None


def _check_node(node: ast.AST, text: str, *, may_be_word: bool) -> None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, int | float) or (may_be_word and isinstance(node.value, str)):
            return
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords:
            return
        if isinstance(node.func, ast.Name):
            raise UserError(f"no function {node.func.id!r} in {text!r}: {nearest(node.func.id, FUNCTIONS)}")
    elif isinstance(node, _ALLOWED) or _name(node) is not None:
        return
    raise UserError(f"{text!r} may only hold arithmetic over names and numbers")


def _bounded(value: Number) -> Number:
    """The value, unless it is a whole number that is too long: each product would be twice as long."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise OverflowError("a whole number is too large")
    return value


def _compute(node: ast.AST, values: Mapping[str, Operand]) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value):
            return _bounded(value)
        case ast.Name() | ast.Attribute():
            name = str(_name(node))
            operand = values.get(name)
            if isinstance(operand, str):
                raise UserError(f"{name!r} is the word {operand!r}, not a number: only == and != work with words")
            if operand is None:
                numbers = [known for known, value in values.items() if not isinstance(value, str)]
                raise UserError(f"{name!r} has no number: {nearest(name, numbers)}")
            return operand
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, exponent = _compute(left, values), _compute(right, values)
            if abs(exponent) > MAX_EXPONENT:
                raise UserError(f"the exponent {exponent} is larger than {MAX_EXPONENT}")
            power = float(base) ** exponent
            if isinstance(power, complex):
                raise ValueError("the root of a negative number")
            return power
        case ast.BinOp(left=left, op=op, right=right):
            return _bounded(_BINARY[type(op)](_compute(left, values), _compute(right, values)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute(operand, values)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compute(operand, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _compute(operand, values)
        case ast.BoolOp(op=op, values=[*parts, last]):
            for part in parts:
                value = _compute(part, values)
                if bool(value) is isinstance(op, ast.Or):
                    return value
            return _compute(last, values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _compute(body if _compute(test, values) else orelse, values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            has_words = all(isinstance(op, ast.Eq | ast.NotEq) for op in ops)
            operands = [
                _operand(part, values) if has_words else _compute(part, values) for part in (left, *comparators)
            ]
            pairs = zip(ops, operands, operands[1:], strict=False)
            return all(_COMPARE[type(op)](a, b) for op, a, b in pairs)
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_compute(arg, values) for arg in args))
    raise AssertionError(f"{type(node).__name__} was not refused")


def _operand(node: ast.AST, values: Mapping[str, Operand]) -> Operand:
    """An operand of == or !=, which may be a word."""
    match node:
        case ast.Constant(value=str() as word):
            return word
        case ast.Name() | ast.Attribute() if isinstance(values.get(str(_name(node))), str):
            return values[str(_name(node))]
    return _compute(node, values)
