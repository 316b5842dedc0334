#!/usr/bin/env python3
"""Counts the test cases of the last `meson test` run of a build directory: count_tests.py DIRECTORY

A doctest binary counts with the cases of its summary line, any other test as one. A binary that did not end well
although its summary names no failed case (it crashed, timed out, leaked) counts one failed more. The last line printed
is `N passed, N failed`; the exit status is 0 only if something passed and nothing failed.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

SUMMARY = re.compile(r"^\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count(test: dict) -> tuple[int, int]:
    """The cases of one test binary: (passed, failed)."""
    result = test["result"]
    if result == "SKIP":
        return 0, 0
    if result == "EXPECTEDFAIL":
        return 1, 0
    ended_well = result == "OK"
    summaries = SUMMARY.findall(COLOUR.sub("", test.get("stdout") or ""))
    if not summaries:
        return (1, 0) if ended_well else (0, 1)
    passed, failed = (int(number) for number in summaries[-1])
    if not ended_well and failed == 0:
        failed = 1
    return passed, failed


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    passed = failed = skipped = 0
    for log in sorted(pathlib.Path(sys.argv[1], "meson-logs").glob("testlog*.json")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip():
                continue
            test = json.loads(line)
            now_passed, now_failed = count(test)
            passed += now_passed
            failed += now_failed
            skipped += test["result"] == "SKIP"
            if now_failed:
                print(f"failed: {test['name']} ({test['result']}, {now_failed} of {now_passed + now_failed})")
    if skipped:
        print(f"skipped: {skipped}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
