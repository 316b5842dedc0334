#!/usr/bin/python3
"""Compares echo servers over TCP, TLS, Unix sockets and UDP: CPU, instructions and system calls per message, memory per idle connection.

    echo_bench.py --build DIR [--tls | --unix | --udp] [--rounds R] [--quick] [--only name,...] [--instructions | --syscalls | --idle]

Without a mode: server CPU per message and its ratio to the C server on epoll. bench/README.md says how to read the
tables.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import tempfile
import time

from report import has_uvloop, median, pin_to, print_table, rotated, spread

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
SERVER_CORE, CLIENT_CORE = 0, 1
RUN_TIMEOUT = 180  # seconds, for any one run
START_TIMEOUT = 30
SLICES, QUICK_SLICES = 20, 5  # of a measured run
SETTLE = 0.01  # seconds for the server to come to rest before its counters are read

BINARIES = [
    "epoll_echo", "uv_echo", "asio_callbacks", "asio_awaitable", "weft_protocol_echo", "weft_streams_echo",
]  # fmt: skip
TLS_BINARIES = ["epoll_tls_echo", "weft_protocol_echo", "weft_streams_echo"]
UNIX_BINARIES = ["epoll_echo", "weft_protocol_echo", "weft_streams_echo"]
UDP_BINARIES = ["epoll_udp_echo", "weft_udp_protocol_echo", "weft_udp_endpoint_echo"]
SCRIPTS = {
    "uvloop_protocol": ["protocol", "uvloop"],
    "uvloop_streams": ["streams", "uvloop"],
    "asyncio_protocol": ["protocol", "asyncio"],
    "asyncio_streams": ["streams", "asyncio"],
}
UDP_SCRIPTS = {"uvloop_udp": ["uvloop"], "asyncio_udp": ["asyncio"]}
INSTRUCTION_SERVERS = [
    "weft_protocol_echo", "weft_streams_echo", "weft_udp_protocol_echo", "weft_udp_endpoint_echo", "asio_callbacks",
    "uv_echo", "epoll_echo", "epoll_tls_echo", "epoll_udp_echo",
]  # fmt: skip

Case = collections.namedtuple("Case", "title mode connections size messages warmup")
CASES = [
    Case("10 connections x 1 KiB", "pingpong", 10, 1024, 60_000, 6_000),
    Case("10 connections x 16 KiB", "pingpong", 10, 16_384, 40_000, 4_000),
    Case("1000 connections x 1 KiB", "pingpong", 1000, 1024, 60_000, 6_000),
    Case("1000 connections x 16 KiB", "pingpong", 1000, 16_384, 40_000, 4_000),
    Case("one stream of 64 KiB units", "stream", 1, 65_536, 20_000, 2_000),
]


FEW_CASES = [case for case in CASES if case.mode == "pingpong" and case.connections == 10]


class BenchError(Exception):
    pass


class Server:
    """A running echo server: `with Server(command) as server`. `wrapper` goes in front of the command; if `traced`,
    the server is the wrapper's child, otherwise the wrapper becomes the server."""

    def __init__(self, command, wrapper=(), traced=False):
        self.command = [*wrapper, *command]
        self.traced = traced

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, preexec_fn=pin_to(SERVER_CORE)
        )
        try:
            self.address = self._read_address()
            self.pid = self._traced_child() if self.traced else self.process.pid
        except BaseException:
            self._stop(self.process.pid)
            raise
        return self

    def __exit__(self, *_):
        self._stop(self.pid)

    def _read_address(self):
        """As echo_client's options."""
        os.set_blocking(self.process.stdout.fileno(), False)
        text, deadline = b"", time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            text += self.process.stdout.read() or b""
            if found := re.search(rb"^(port|path) (\S+)\n", text, re.MULTILINE):
                return ["--unix" if found[1] == b"path" else "--port", found[2].decode()]
            time.sleep(0.005)
        raise BenchError(f"{' '.join(self.command)} did not say its address")

    def _traced_child(self):
        tracer = self.process.pid
        children = pathlib.Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split()
        if len(children) != 1:
            raise BenchError(f"expected one traced server, found {len(children)}")
        return int(children[0])

    def _stop(self, pid):
        try:
            os.kill(pid, signal.SIGTERM)
            self.process.wait(10)
        except ProcessLookupError:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def cpu_ns(self):
        """CPU time of all its threads so far."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


class Client:
    """A run of echo_client in step with the driver (its --sync)."""

    def __init__(self, args, server, **options):
        self.command = [str(args.build / "bench" / "echo_client"), "--sync", *server.address]
        self.command += ["--tls"] if args.tls else ["--udp"] if args.udp else []
        self.command += ["--timeout", str(RUN_TIMEOUT)]
        for name, value in options.items():
            self.command += [f"--{name}", str(value)]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin_to(CLIENT_CORE)
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for(self, start):
        """The client's next line, which starts with `start`. The client's own timeout bounds the wait."""
        line = self.process.stdout.readline().strip()
        if not line.startswith(start):
            raise BenchError(f"the client said {line!r}, not {start!r}")
        time.sleep(SETTLE)
        return line

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self):
        return json.loads(self.wait_for("{"))


def exchange(args, server, **options):
    """One whole run of the client."""
    with Client(args, server, **options) as client:
        client.wait_for("warm")
        client.go()
        return client.result()


def make_certificate(folder):
    """A self-signed one: [certificate, key]."""
    pair = [f"{folder}/certificate.pem", f"{folder}/key.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-out", pair[0], "-keyout", pair[1]]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return pair


def find_servers(args, folder):
    """name -> command; a missing one is skipped with a line that says so."""
    build, only = args.build, args.only
    pair = make_certificate(folder) if args.tls else []
    binaries = TLS_BINARIES if args.tls else UNIX_BINARIES if args.unix else UDP_BINARIES if args.udp else BINARIES
    scripts, script = (UDP_SCRIPTS, "asyncio_udp_echo.py") if args.udp else (SCRIPTS, "asyncio_echo.py")
    known = binaries + list(scripts)
    if only and (unknown := set(only) - set(known)):
        raise BenchError(f"unknown in --only: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if not (build / "bench" / "echo_client").exists():
        raise BenchError(f"{build}/bench/echo_client is missing: build the benchmarks first")
    servers = {}
    for name in only or known:
        address = f"{folder}/{name}.sock" if args.unix else "0"
        if name in scripts:
            if "uvloop" in scripts[name] and not has_uvloop(PYTHON):
                print(f"{name}: skipped, uvloop is not installed")
            else:
                servers[name] = [PYTHON, str(HERE / "echo" / script), address, *scripts[name], *pair]
        elif (build / "bench" / name).exists():
            servers[name] = [str(build / "bench" / name), address, *pair]
        else:
            print(f"{name}: skipped, {build}/bench/{name} is not built")
    return servers


# Server CPU per message.


def cpu_per_message(args, servers, case, slices, round_number):
    """name -> (microseconds of server CPU per message, messages per second). All servers are up, one at a time works:
    they take turns in short slices, so that the machine's moods meet all of them."""
    options = case._asdict()
    del options["title"]
    options["messages"] //= slices
    cpu, messages, seconds = collections.Counter(), collections.Counter(), collections.Counter()
    with contextlib.ExitStack() as stack:
        running = {}
        for name in rotated(list(servers), round_number):
            server = stack.enter_context(Server(servers[name]))
            client = stack.enter_context(Client(args, server, **options))
            running[name] = server, client
            client.wait_for("warm")
            client.go()
            client.result()  # a first slice that does not count
        for turn in range(slices):
            for name in rotated(list(running), turn):
                server, client = running[name]
                client.go()
                client.wait_for("warm")
                before = server.cpu_ns()
                client.go()
                result = client.result()
                cpu[name] += server.cpu_ns() - before
                messages[name] += result["messages"]
                seconds[name] += result["seconds"]
    return {name: (cpu[name] / 1e3 / messages[name], messages[name] / seconds[name]) for name in servers}


def cpu_mode(args, servers):
    cases, slices = FEW_CASES if args.tls or args.udp else CASES, SLICES
    if args.quick:
        slices = QUICK_SLICES
        cases = [case._replace(messages=case.messages // 10, warmup=case.warmup // 2) for case in cases]
    costs = collections.defaultdict(list)
    rates = collections.defaultdict(list)
    for round_number in range(args.rounds):
        for case in cases:
            measured = cpu_per_message(args, servers, case, slices, round_number)
            for name, (cost, rate) in measured.items():
                costs[case.title, name].append(cost)
                rates[case.title, name].append(rate)
        print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr, flush=True)
    for case in cases:
        rows = []
        for name in servers:
            mine, baseline = costs[case.title, name], costs.get((case.title, args.baseline), [])
            ratios = [cost / base for cost, base in zip(mine, baseline)]
            rows.append([name, spread(mine), spread(ratios), median(rates[case.title, name], 0)])
        headers = ["server", "us CPU/message (min-max)", f"x {args.baseline} (min-max)", "messages/s"]
        print_table(f"{case.title}; rounds: {args.rounds}", headers, rows)


# Instructions and system calls: two runs of different length, so that start-up cancels out.


def difference(count, messages):
    """`count(n)` of 2 * messages less that of `messages`, per message, by key."""
    once, twice = count(messages), count(2 * messages)
    return {key: (twice.get(key, 0) - once.get(key, 0)) / messages for key in {**once, **twice}}


def count_instructions(args, command, messages, folder):
    output = pathlib.Path(folder) / "callgrind.out"
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={output}"]
    with Server(command, wrapper=valgrind) as server:
        exchange(args, server, connections=10, size=1024, messages=messages, warmup=200)
    found = re.search(r"^(?:totals|summary): (\d+)", output.read_text(), re.MULTILINE)
    if not found:
        raise BenchError("callgrind left no total")
    return {"instructions": int(found[1])}


def instructions_mode(args, servers):
    messages = 2_000 if args.quick else 10_000
    counts = {}
    for name in [name for name in INSTRUCTION_SERVERS if name in servers]:
        with tempfile.TemporaryDirectory() as folder:
            count = lambda n: count_instructions(args, servers[name], n, folder)
            counts[name] = difference(count, messages)["instructions"]
    baseline = counts.get(args.baseline)
    rows = [[name, f"{n:.0f}", f"{n / baseline:.2f}" if baseline else "-"] for name, n in counts.items()]
    title = "user-mode instructions per message, 10 connections x 1 KiB"
    print_table(title, ["server", "instructions", f"x {args.baseline}"], rows)


def count_syscalls(args, command, messages, folder):
    output = pathlib.Path(folder) / "strace.out"
    strace = ["strace", "--follow-forks", "--summary-only", "--summary-columns=calls,name", f"--output={output}"]
    strace += ["--interruptible=waiting"]  # with an output file it would otherwise survive this driver
    with Server(command, wrapper=strace, traced=True) as server:
        exchange(args, server, connections=10, size=1024, messages=messages, warmup=200)
    calls = re.findall(r"^\s*(\d+)\s+(\w+)$", output.read_text(), re.MULTILINE)
    return {name: int(count) for count, name in calls}


def syscalls_mode(args, servers):
    messages = 2_000 if args.quick else 10_000
    rows = []
    for name, command in servers.items():
        with tempfile.TemporaryDirectory() as folder:
            calls = difference(lambda n: count_syscalls(args, command, n, folder), messages)
        total = calls.pop("total")
        by_name = sorted(calls.items(), key=lambda item: -item[1])
        rows.append([name, f"{total:.2f}", "  ".join(f"{call} {n:.2f}" for call, n in by_name if n >= 0.005)])
    print_table("system calls per message, 10 connections x 1 KiB", ["server", "total", "by name"], rows, left=(0, 2))


# Memory per idle connection.


def idle_mode(args, servers):
    connections, hold = (1_000 if args.quick else 10_000), 2
    growth = collections.defaultdict(list)
    for round_number in range(args.rounds):
        for name in rotated(list(servers), round_number):
            with Server(servers[name]) as server:
                exchange(args, server, connections=1, size=1024, messages=100, warmup=0)
                before = server.rss_bytes()
                options = {"mode": "idle", "connections": connections, "size": 1024, "hold": hold}
                with Client(args, server, **options) as client:
                    client.wait_for(f"held {connections}")
                    client.result()
                    growth[name].append((server.rss_bytes() - before) / connections)
    rows = []
    for name in servers:
        baseline = growth.get(args.baseline)
        ratio = statistics.median(growth[name]) / statistics.median(baseline) if baseline else 0
        rows.append([name, spread(growth[name], 0), f"{ratio:.1f}" if ratio else "-"])
    title = f"resident bytes per idle connection, {connections} connections, {hold} s after one 1 KiB echo each"
    print_table(title, ["server", "bytes (min-max)", f"x {args.baseline}"], rows)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="Meson build directory")
    over = parser.add_mutually_exclusive_group()
    over.add_argument("--tls", action="store_true", help="TLS 1.3 instead of plain TCP")
    over.add_argument("--unix", action="store_true", help="Unix sockets instead of TCP")
    over.add_argument("--udp", action="store_true", help="UDP instead of TCP")
    parser.add_argument("--rounds", type=int, help="default 5; 3 with --quick, 1 with --idle")
    parser.add_argument("--quick", action="store_true", help="fewer messages and connections")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="servers, by name")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--instructions", action="store_true", help="user-mode instructions per message")
    mode.add_argument("--syscalls", action="store_true", help="system calls per message")
    mode.add_argument("--idle", action="store_true", help="memory per idle connection")
    args = parser.parse_args()
    if args.rounds is None:
        args.rounds = 1 if args.idle else 3 if args.quick else 5
    args.baseline = "epoll_tls_echo" if args.tls else "epoll_udp_echo" if args.udp else "epoll_echo"
    if args.udp and args.idle:
        parser.error("--idle counts connections, and UDP has none")
    return args


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        run_mode(args, folder)


def run_mode(args, folder):
    try:
        servers = find_servers(args, folder)
        if args.instructions:
            instructions_mode(args, servers)
        elif args.syscalls:
            syscalls_mode(args, servers)
        elif args.idle:
            idle_mode(args, servers)
        else:
            cpu_mode(args, servers)
    except BenchError as error:
        sys.exit(f"echo_bench: {error}")


if __name__ == "__main__":
    main()
