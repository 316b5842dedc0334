"""What the twins' sources say, without running them, and docs/conformance.md, the table made of it."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TABLE = ROOT / "docs" / "conformance.md"
DIFFERENCES = HERE / "differences.toml"
# The rules that a program can show without a network: the loop, tasks, locks and queues; the runner, contexts, executors.
RULES = (*range(1, 94), *range(116, 121))

LITERALS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
CPP_TWIN = re.compile(r"^(?:LOOP_)?TWIN\(\s*(\d+),\s*" + LITERALS, re.MULTILINE)
TEST_CASE = re.compile(r"\bTEST_CASE\(\s*" + LITERALS)
RULE_OF_TEST = re.compile(r"\brule (\d+)\b")


@dataclasses.dataclass
class Twins:
    """The twins of one language: rule -> (section, what it pins)."""

    python: dict[int, tuple[str, str]]
    cpp: dict[int, tuple[str, str]]


@dataclasses.dataclass
class Differences:
    """differences.toml."""

    pending: dict[int, str]
    rules: dict[int, dict]


def joined(literals: str) -> str:
    """Adjacent C++ string literals as the text they stand for."""
    return "".join(ast.literal_eval(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', literals))


def find_twins() -> Twins:
    twins = Twins({}, {})
    for path in sorted(HERE.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("rule_"):
                what = (ast.get_docstring(node) or "").partition("\n")[0]
                twins.python[int(node.name[5:])] = (path.stem, what)
    for path in sorted(HERE.glob("*.cpp")):
        for number, what in CPP_TWIN.findall(path.read_text(encoding="utf-8")):
            twins.cpp[int(number)] = (path.stem, joined(what))
    return twins


def find_tests() -> dict[int, dict[str, int]]:
    """rule -> {test file: number of cases that name the rule}."""
    found: dict[int, dict[str, int]] = {}
    for path in sorted((ROOT / "test").rglob("*_test.cpp")):
        name = str(path.relative_to(ROOT / "test"))
        for literals in TEST_CASE.findall(path.read_text(encoding="utf-8")):
            for number in set(map(int, RULE_OF_TEST.findall(joined(literals)))):
                files = found.setdefault(number, {})
                files[name] = files.get(name, 0) + 1
    return found


def read_differences() -> Differences:
    text = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))
    return Differences({int(number): why for number, why in text.get("pending", {}).items()},
                       {int(number): entry for number, entry in text["rules"].items()})


def problems() -> list[str]:
    """What is missing or does not fit together, apart from the traces."""
    twins, tests, differences = find_twins(), find_tests(), read_differences()
    found = []
    for number in RULES:
        python, cpp = twins.python.get(number), twins.cpp.get(number)
        pending = number in differences.pending
        if not python:
            found.append(f"rule {number} has no Python twin")
        if pending and cpp:
            found.append(f"rule {number} has a C++ twin and is listed as pending")
        if not pending and not cpp:
            found.append(f"rule {number} has no C++ twin")
        if not pending and number not in tests:
            found.append(f"rule {number} has no test case that names it")
        if python and cpp and python != cpp:
            found.append(f"rule {number}: the twins do not say the same: {python} and {cpp}")
    for number in (twins.python.keys() | twins.cpp.keys() | differences.pending.keys() | differences.rules.keys()):
        if number not in RULES:
            found.append(f"rule {number} does not belong to this table")
    for number, entry in differences.rules.items():
        needed = {"reason", "expected", "deliberate" if "deliberate" in entry else "python"}
        if not needed <= entry.keys() <= needed | {"python"}:
            found.append(f"the difference of rule {number} needs {', '.join(sorted(needed))}")
        elif entry.get("python") == entry["expected"]:
            found.append(f"the difference of rule {number} is none")
    if not TABLE.exists() or TABLE.read_text(encoding="utf-8") != table():
        found.append(f"{TABLE.relative_to(ROOT)} is stale: run test/conformance/compare.py --write-table")
    return found


def verdict(number: int, differences: Differences) -> str:
    if number in differences.pending:
        return f"pending: {differences.pending[number]}"
    entry = differences.rules.get(number)
    if not entry:
        return "equal"
    if "deliberate" in entry:
        return f"[deliberate difference {entry['deliberate']}](from-asyncio.md#deliberate-differences): {entry['reason']}"
    return f"equal to 3.13; Python 3.11 differs: {entry['reason']}"


def table() -> str:
    twins, tests, differences = find_twins(), find_tests(), read_differences()
    lines = [
        "# Conformance",
        "",
        "Each rule below is pinned by test cases that carry its number, and by a pair of twins: a small Python program",
        "and its C++ translation in `test/conformance/`, which print what happens in which order. The test `conformance`",
        "runs both, the Python one with the interpreter at hand, and compares the traces line by line. Where they may",
        "differ, `test/conformance/differences.toml` has both traces and the reason; any other difference fails, and so",
        "does a declared one that is gone. The target is the behaviour of Python 3.13.",
        "",
        "`test/conformance/compare.py --write-table` writes this page.",
        "",
        "| rule | what it says | tests that carry its number | twin | traces |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number in RULES:
        section, what = twins.python.get(number, ("", ""))
        files = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in tests.get(number, {}).items())
        lines.append(f"| {number} | {what} | {files} | {section} | {verdict(number, differences)} |".replace("  ", " "))
    return "\n".join(lines) + "\n"
