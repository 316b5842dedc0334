#!/usr/bin/env python3
"""Checks docs/conformance.md: that it is what the sources say, and that each rule has a test case and its twins."""

from __future__ import annotations

import sys

from _checkout import ROOT, finish

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "test" / "conformance"))

import table  # noqa: E402


def main() -> None:
    finish(table.problems(), f"{len(table.RULES)} rules")


if __name__ == "__main__":
    main()
