"""What the benchmark drivers share: pinning, medians with their spread, tables."""

import ctypes
import os
import signal
import statistics
import subprocess

PR_SET_PDEATHSIG = 1


def pin_to(core):
    """A preexec_fn that pins the started program to the core of that number among those this process may use (fewer
    are shared), and has the program end if this process dies."""
    cores = sorted(os.sched_getaffinity(0))
    chosen = cores[core % len(cores)]
    libc = ctypes.CDLL(None)

    def prepare():
        os.sched_setaffinity(0, {chosen})
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return prepare


def has_uvloop(python):
    return subprocess.run([python, "-c", "import uvloop"], stderr=subprocess.DEVNULL).returncode == 0


def median(values, digits=2):
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def spread(values, digits=2):
    """`median (smallest-largest)`"""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def print_table(title, headers, rows, left=(0,)):
    """Columns are aligned right, except those numbered in `left`."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [headers] + rows) for i in range(len(headers))]
    print(f"\n{title}")
    for row in [headers, ["-" * width for width in widths]] + rows:
        cells = [cell.ljust(widths[i]) if i in left else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        print("  ".join(cells).rstrip())


def rotated(items, by):
    """The items in rotating order, so that no one always runs first or after the same other."""
    by %= max(1, len(items))
    return items[by:] + items[:by]
