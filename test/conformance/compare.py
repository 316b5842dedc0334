#!/usr/bin/env python3
"""Compares asyncio with Weft, rule by rule: runs the Python twins and the C++ twins and compares their traces.

compare.py --program test_conformance [--python PYTHON] [RULE...]   compare; of all rules also check the table
compare.py --write-table                                            write docs/conformance.md
compare.py --check-table                                            check it and that no rule is missing
compare.py --list                                                   the rules and what they say

The Python is Debian's /usr/bin/python3 or, where that is missing or too old, the python3 in PATH.
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
import shutil
import subprocess
import sys

import table

PINNED = (3, 13)  # from this Python on its traces are the target
OLDEST = (3, 11)  # differences.toml has what this one prints
SKIPPED = 77  # meson's status for a test that cannot run here
TIME_LIMIT = 120


def version_of(python: str) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:3])"
    run = subprocess.run([python, "-E", "-s", "-c", code], capture_output=True, text=True)
    return tuple(map(int, run.stdout.split())) if run.returncode == 0 else ()


def choose_python(asked: str | None) -> tuple[str, tuple[int, ...]]:
    """The interpreter for the twins and its version; nothing if there is none new enough."""
    for python in [asked] if asked else ["/usr/bin/python3", shutil.which("python3")]:
        if python and shutil.which(python) and (version := version_of(python)) >= OLDEST:
            return python, version
    return "", ()


class Run:
    """A program that prints traces, started at once."""

    def __init__(self, name: str, command: list[str], rules: list[int]) -> None:
        self.name = name
        self.process = subprocess.Popen([*command, *map(str, rules)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self) -> tuple[dict[int, list[str]], str]:
        """The traces, and what went wrong with the program as a whole."""
        try:
            output, errors = self.process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
            return parse(output), f"{self.name}: took longer than {TIME_LIMIT} s\n{errors}"
        status = self.process.returncode
        return parse(output), f"{self.name}: ended with {status}\n{errors}" if status else ""


def parse(output: str) -> dict[int, list[str]]:
    """`== 34` begins the trace of rule 34."""
    traces: dict[int, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("== "):
            lines = traces.setdefault(int(line[3:]), [])
        else:
            lines.append(line)
    return traces


def diff(left: list[str], left_name: str, right: list[str], right_name: str) -> list[str]:
    return list(difflib.unified_diff(left, right, left_name, right_name, n=20, lineterm=""))


def judge(python: list[str], weft: list[str], entry: dict | None, version: tuple[int, ...]) -> list[str]:
    """What is wrong with the traces of one rule; nothing if they are as they should be."""
    if entry is None:
        return [] if python == weft else diff(python, "asyncio", weft, "weft")
    expected, declared = entry["expected"].splitlines(), entry.get("python", "").splitlines()
    found = diff(expected, "expected of weft", weft, "weft")
    if "deliberate" in entry or version < (*OLDEST[:1], OLDEST[1] + 1):
        if python == expected:
            found.append("asyncio prints what weft prints: the declared difference is gone")
        elif "python" in entry:
            found += diff(declared, "declared of asyncio", python, "asyncio")
    elif version >= PINNED:
        found += diff(expected, "expected of asyncio", python, "asyncio")
    elif python not in (expected, declared):
        found += diff(expected, "expected of asyncio", python, "asyncio")
    return found


def compare(program: pathlib.Path, python: str, version: tuple[int, ...], asked: list[int]) -> int:
    twins, differences = table.find_twins(), table.read_differences()
    rules = [number for number in asked or table.RULES if number in twins.python and number in twins.cpp]
    print(f"asyncio of Python {'.'.join(map(str, version))} ({python})")
    command = [python, "-B", "-E", "-s", "-W", "ignore", str(table.HERE / "twin.py")]
    runs = Run("asyncio", command, rules), Run("weft", [str(program)], rules)
    (asyncio_traces, *asyncio_errors), (weft_traces, *weft_errors) = (run.finish() for run in runs)

    failures = {name: text.splitlines() for name, (text,) in
                (("the Python program", asyncio_errors), ("the C++ program", weft_errors)) if text}
    for number in rules:
        if number not in asyncio_traces or number not in weft_traces:
            failures[f"rule {number}"] = ["no trace"]
            continue
        wrong = judge(asyncio_traces[number], weft_traces[number], differences.rules.get(number), version)
        if wrong:
            failures[f"rule {number}: {twins.python[number][1]}"] = wrong
    cases = len(rules)
    if not asked:
        cases += 1
        if wrong := table.problems():
            failures["the table"] = wrong
    for name, lines in failures.items():
        print(f"\n{name}", *(f"    {line}" for line in lines), sep="\n")
    failed = min(len(failures), cases)
    # In the words of a doctest binary, for tools/count_tests.py.
    print(f"[doctest] test cases: {cases} | {cases - failed} passed | {failed} failed | 0 skipped")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, help="the C++ twins")
    parser.add_argument("--python", help="the interpreter for the Python twins")
    parser.add_argument("--write-table", action="store_true")
    parser.add_argument("--check-table", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("rules", nargs="*", type=int, metavar="RULE")
    options = parser.parse_args()
    if options.list:
        for number, (section, what) in sorted(table.find_twins().python.items()):
            print(f"{number:4} {section}: {what}")
        return 0
    if options.write_table:
        table.TABLE.write_text(table.table(), encoding="utf-8")
        return 0
    if options.check_table:
        found = table.problems()
        print(*found, sep="\n")
        return 1 if found else 0
    if not options.program:
        parser.error("--program is needed")
    python, version = choose_python(options.python)
    if not python:
        print("no Python of at least", ".".join(map(str, OLDEST)))
        return SKIPPED
    return compare(options.program, python, version, options.rules)


if __name__ == "__main__":
    sys.exit(main())
