#!/usr/bin/python3
"""Looks for what is left behind: many connections opened and closed, and many reset.

    soak_bench.py --build DIR [--connections N] [--rounds R] [--resets M]

The exit status is 1 if the server or the client has more descriptors or tasks afterwards than before, or more heap than
after the second round. bench/README.md says more.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import time

from report import pin_to, print_table

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with 0 seconds
HEAP_SLACK = 64 * 1024  # bytes: what a list keeps that was a little longer this time
SETTLE = 10  # seconds for the server to see the last connection go


def read_held(stream):
    """A line `descriptors N tasks N heap N` as a dictionary."""
    words = stream.readline().split()
    if not words:
        sys.exit("soak_bench: a program has ended early")
    return {name: int(number) for name, number in zip(words[::2], words[1::2])}


def held_by_server(server):
    server.send_signal(signal.SIGUSR1)
    return read_held(server.stdout)


def settled(server, wanted):
    """What the server holds, once that is as few descriptors as wanted or time is out."""
    end = time.monotonic() + SETTLE
    while True:
        held = held_by_server(server)
        if held["descriptors"] <= wanted or time.monotonic() > end:
            return held
        time.sleep(0.1)


def reset_connections(port, count):
    """Connections that say a word, or none, and are reset at once."""
    for i in range(count):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            if i % 2:
                connection.send(b"hello")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="Meson build directory")
    parser.add_argument("--connections", type=int, default=10_000, help="at once, by default %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resets", type=int, default=100_000)
    args = parser.parse_args()

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    program = str(args.build / "bench" / "weft_soak")
    server = subprocess.Popen([program, "server"], stdout=subprocess.PIPE, text=True, preexec_fn=pin_to(0))
    port = int(server.stdout.readline().split()[1])
    rows, servers, clients = [], [held_by_server(server)], []

    def add_row(what, server_holds, client_holds=None):
        rows.append([what, *server_holds.values(), *(client_holds or {"": "", " ": "", "  ": ""}).values()])

    add_row("before", servers[0])
    client = subprocess.Popen(
        [program, "client", str(port), str(args.connections), str(args.rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pin_to(1),
    )
    for i in range(args.rounds):
        clients.append(read_held(client.stdout))
        servers.append(settled(server, servers[0]["descriptors"]))
        add_row(f"{args.connections} connections, round {i + 1}", servers[-1], clients[-1])
        client.stdin.write("\n")
        client.stdin.flush()
    client.wait(timeout=30)
    heap_before_resets = servers[-1]["heap"]
    reset_connections(port, args.resets)
    servers.append(settled(server, servers[0]["descriptors"]))
    add_row(f"{args.resets} resets", servers[-1])
    server.terminate()
    server.wait(timeout=30)

    headers = ["after", "descriptors", "tasks", "heap", "client: descriptors", "tasks", "heap"]
    print_table("What the server and the client hold", headers, rows)
    grown = [
        (name, count["descriptors"] - first["descriptors"], count["tasks"] - first["tasks"])
        for name, held in (("server", servers), ("client", clients))
        for first in held[:1]
        for count in held[1:]
        if count["descriptors"] > first["descriptors"] or count["tasks"] > first["tasks"]
    ]
    heaps = [servers[-2]["heap"] - servers[2]["heap"], clients[-1]["heap"] - clients[1]["heap"]] if args.rounds > 1 else []
    heaps.append(servers[-1]["heap"] - heap_before_resets)
    print(f"\nheap grown by {heaps} bytes: server, client since the second round, server by resets")
    if grown or max(heaps) > HEAP_SLACK:
        sys.exit(f"soak_bench: growth: {grown}")


if __name__ == "__main__":
    main()
