#!/usr/bin/python3
"""Compares the costs of tasks, callbacks and timers: nanoseconds of CPU per operation, and of the clock for round_trip.

    tasks_bench.py --build DIR [--rounds R] [--only program,...] [--operations name,...]

Programs: weft, asio, bare, asyncio, uvloop. bench/README.md says how to read the table.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import collections
import pathlib
import statistics
import subprocess

from report import has_uvloop, pin_to, print_table, rotated, spread

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
CORE = 0
RUN_TIMEOUT = 300  # seconds, for any one run
REFERENCE = "weft"
BINARIES = {"weft": "weft_tasks", "asio": "asio_tasks", "bare": "bare_tasks"}
SCRIPTS = ["asyncio", "uvloop"]

# What Weft should cost, in nanoseconds.
GOALS = {
    "switch": 9,
    "switch_socket": 9,
    "spawn_join": 45,
    "await_child": 15,
    "call_soon": 30,
    "timer_cancel": 200,
    "timer_fire": 400,
    "gather": 60,
    "cancel": None,
    "queue": 45,
    "lock": 10,
    "eager": 30,
    "context_get": 10,
    "event": None,
    "executor": None,
    "executor_socket": None,
    "round_trip": None,
    "round_trip_socket": None,
    "threadsafe": 200,
}

# By the clock and on all cores; the others by CPU and on one.
ELAPSED = {"round_trip", "round_trip_socket"}


def find_programs(build, only):
    """name -> command; a missing one is skipped with a line that says so."""
    programs = {}
    for name, binary in BINARIES.items():
        if (build / "bench" / binary).exists():
            programs[name] = [str(build / "bench" / binary)]
        elif not only or name in only:
            print(f"{name}: skipped, {build}/bench/{binary} is not built")
    for loop in SCRIPTS:
        if loop == "uvloop" and not has_uvloop(PYTHON):
            print("uvloop: skipped, it is not installed")
        else:
            programs[loop] = [PYTHON, str(HERE / "tasks" / "asyncio_tasks.py"), loop]
    return {name: command for name, command in programs.items() if not only or name in only}


def run(command, name):
    """The nanoseconds in the line `name ns_per_op`; none if the program does not know the operation."""
    result = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT,
        preexec_fn=None if name in ELAPSED else pin_to(CORE),
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    return [float(line[1]) for line in lines if len(line) == 2 and line[0] == name]


def rows_of(name, programs, times):
    reference = times.get((name, REFERENCE))
    goal = GOALS[name]
    for program in programs:
        mine = times.get((name, program))
        if not mine:
            continue
        ratio = [value / base for value, base in zip(mine, reference)] if reference else []
        within = ""
        if program == REFERENCE and goal is not None:
            within = "met" if statistics.median(mine) <= goal else "missed"
        yield [name, program, spread(mine, 1), spread(ratio), goal if goal is not None else "-", within]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="Meson build directory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="programs, by name")
    parser.add_argument("--operations", type=lambda text: text.split(","), default=[])
    args = parser.parse_args()
    if unknown := set(args.operations) - set(GOALS):
        parser.error(f"no such operation: {', '.join(unknown)}")

    programs = find_programs(args.build, args.only)
    times = collections.defaultdict(list)
    for round_number in range(args.rounds):
        # Operation by operation, so that the machine's drift meets all programs.
        for name in args.operations or GOALS:
            for program in rotated(list(programs), round_number):
                try:
                    for value in run(programs[program] + [name], name):
                        times[name, program].append(value)
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    sys.exit(f"tasks_bench: {error}")
        print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr, flush=True)

    rows = [row for name in GOALS for row in rows_of(name, programs, times)]
    headers = ["operation", "program", "ns/op (min-max)", f"x {REFERENCE} (min-max)", "goal", ""]
    print_table(f"CPU per operation (round_trip: time); rounds: {args.rounds}", headers, rows, left=(0, 1))


if __name__ == "__main__":
    main()
