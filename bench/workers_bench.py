#!/usr/bin/python3
"""How an echo server that computes for each message scales over cores: run_workers(N) against run_workers(1).

    workers_bench.py --build DIR [--workers N] [--work US] [--rounds R]

The client is no limit as long as it uses little of a core, which the table shows: it shares the cores with the workers.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import os
import pathlib
import resource
import socket
import subprocess

from report import print_table, rotated, spread

CONNECTIONS = 64  # several for every worker, wherever the kernel puts them
RUN_TIMEOUT = 120  # seconds


def free_port():
    """A port that nobody has; each worker listens on it, so the system cannot choose one for them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(build, workers, work, messages):
    """Messages a second, and the part of a core that the client has used."""
    port = free_port()
    command = [str(build / "bench" / "weft_workers"), str(workers), str(port), str(work)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(workers):
            server.stdout.readline()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        client = subprocess.run(
            [
                str(build / "bench" / "echo_client"),
                *("--port", str(port), "--connections", str(CONNECTIONS), "--size", "1024"),
                *("--messages", str(messages), "--warmup", str(messages // 10)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=RUN_TIMEOUT,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    finally:
        server.terminate()
        server.wait(timeout=30)
    result = json.loads(client.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result["messages"] / result["seconds"], cpu / (result["seconds"] * 1.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="Meson build directory")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=int, default=300, help="us of computing per message, by default %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    rates = {1: [], args.workers: []}
    shares = {1: [], args.workers: []}
    for round_number in range(args.rounds):
        for workers in rotated(list(rates), round_number):
            rate, share = run(args.build, workers, args.work, 2_000_000 * workers // args.work)
            rates[workers].append(rate)
            shares[workers].append(share)
        print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr, flush=True)
    rows = [
        [workers, spread(mine, 0), spread([a / b for a, b in zip(mine, rates[1])]), spread(shares[workers])]
        for workers, mine in rates.items()
    ]
    print_table(
        f"Echo with {args.work} us of computing per message, {CONNECTIONS} connections, rounds: {args.rounds}",
        ["workers", "messages a second", "x one worker", "client, of a core"],
        rows,
    )


if __name__ == "__main__":
    main()
