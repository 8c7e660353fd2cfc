"""Mutation run: changes the code that must lose nothing, one place at a time, and shows the changes no test notices.

Usage, where cosmic-ray is installed: `python tests/mutants.py [PART OF A MODULE'S NAME ...] [--sample N]`

The mutants are those of cosmic-ray, without those of texts, decorators, durations, annotations and the assignments of
`__init__`, and two kinds of our own: a statement, or a context manager, is left out. Each is tried on a copy of the
checkout, with the tests that stand for its module: one that fails or hangs kills it.
"""

import argparse
import ast
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import MutationVisitor, mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parent.parent
RESULTS, TRAINABLE = "tests/results_tests/test_", "tests/trainable_tests/test_"
LOST_SWEEP, CONTRACT = "tests/sweep_tests/test_lost_sweep.py", f"{RESULTS}store_contract.py"
STORE = [f"{RESULTS}{name}.py" for name in ("store", "store_lock", "store_identity", "store_links", "driver_record")]
LEDGER = [
    *(f"{TRAINABLE}{name}.py" for name in ("ledger", "ledger_lock", "supersede", "special_files", "trial_summary")),
    "tests/integration_tests/test_power_cuts.py",
]
REMOTE_LEDGER = [f"{TRAINABLE}remote_ledger.py", f"{TRAINABLE}trial_log.py", f"{RESULTS}remote_superseded.py"]
INSIGHT = [f"{RESULTS}insight_{name}.py" for name in ("optima", "law", "noise")]
TESTS = {
    "results/store/lease.py": [f"{RESULTS}lease.py", LOST_SWEEP, CONTRACT],
    "results/store/remote_journal.py": [LOST_SWEEP, f"{RESULTS}remote_store_copies.py", CONTRACT],
    "results/store/search_log.py": [f"{RESULTS}search_log.py", CONTRACT],
    "results/store/local_store.py": [CONTRACT, *STORE, "-k", "not bucket"],
    "trainable/ledger/ledger.py": LEDGER,
    "trainable/ledger/checkpoints.py": LEDGER,
    "trainable/ledger/reading.py": LEDGER,
    "trainable/ledger/remote_ledger.py": [*REMOTE_LEDGER, CONTRACT],
    "trainable/ledger/remote.py": [f"{TRAINABLE}remote.py"],
    **{f"results/insight/{name}.py": INSIGHT for name in ("critical", "law", "noise", "optima", "regret", "runs")},
}
"""Module -> pytest's arguments: the tests that stand for it."""
COMPARISONS = "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS.split()),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "BitOr_BitAnd")),
    *("AddNot", "ReplaceUnaryOperator_Delete_Not", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "ZeroIterationForLoop"),
)
HANGS_SECONDS = 200


class LeftOutStatement:
    """A call, a `raise`, or an assignment to an attribute or element becomes `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[None]:  # noqa: ANN401 (parso is untyped)
        if node.type == "simple_stmt":
            statement = node.children[0]
            target = statement.children[0] if statement.type == "expr_stmt" else statement
            if statement.type == "raise_stmt" or target.type in ("atom_expr", "power"):
                yield None

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ANN401
        node.children[0] = parso.parse(f"{node.get_first_leaf().prefix}pass")
        return node


class LeftOutContext:
    """The block of a `with` that gives nothing runs without it."""

    def mutation_positions(self, node: Any) -> Iterator[None]:  # noqa: ANN401
        if node.type == "with_stmt" and len(node.children) == 4 and node.children[1].type != "with_item":
            yield None

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ANN401
        node.children[0].value = "if"
        node.children[1] = parso.parse(" True")
        return node


def mutants_of(source: str) -> Iterator[str]:
    """Yield the mutants in an order that looks random and is always the same."""
    positions = []
    for operator in (*(get_operator(f"core/{name}")() for name in OPERATORS), LeftOutStatement(), LeftOutContext()):
        visitor = MutationVisitor(sys.maxsize, operator)
        visitor.walk(get_ast(source))
        positions += [(operator, occurrence) for occurrence in range(visitor._count)]
    random.Random(0).shuffle(positions)  # noqa: S311
    known = {meaning(source)}
    for operator, occurrence in positions:
        mutant = mutate_code(source, operator, occurrence)
        if meaning(mutant) not in known:
            known.add(meaning(mutant))
            yield mutant


def meaning(source: str) -> str:
    """Return the syntax tree as text, without what is not mutated."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            if node.name == "__init__":
                node.body = [
                    line for line in node.body if not isinstance(line, ast.Assign | ast.AnnAssign | ast.Pass)
                ]
        elif isinstance(node, ast.AnnAssign | ast.arg):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            node.value = 0.0
    return ast.dump(tree).replace("UnaryOp(op=USub(), operand=Constant(value=0.0))", "Constant(value=0.0)")


def survives(copy: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-m", "not ray", "-p", "no:cacheprovider", *tests]
    try:
        subprocess.run(command, cwd=copy, capture_output=True, timeout=HANGS_SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return True


def try_mutants(module: str, copy: Path, sample: int | None) -> None:
    """Print every survivor of a module, and how many there are."""
    source = (ROOT / module).read_text()
    if not survives(copy, TESTS[module]):
        sys.exit(f"{module}: its tests fail as it is")
    num_tried = num_survivors = 0
    for mutant in itertools.islice(mutants_of(source), sample):
        num_tried += 1
        (copy / module).write_text(mutant)
        if survives(copy, TESTS[module]):
            num_survivors += 1
            lines = zip(itertools.count(1), source.splitlines(), mutant.splitlines(), strict=False)
            number, old, new = next(line for line in lines if line[1] != line[2])
            print(f"{module}:{number}: {old.strip()}  ->  {new.strip()}", flush=True)
    (copy / module).write_text(source)
    print(f"{module}: {num_survivors} of {num_tried} mutants survive", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="parts of the names of modules; default: all")
    parser.add_argument("--sample", type=int, help="number of mutants of each module; default: all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "runs"))
        for module in TESTS:
            if not arguments.modules or any(part in module for part in arguments.modules):
                try_mutants(module, copy, arguments.sample)


if __name__ == "__main__":
    main()
