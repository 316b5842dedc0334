"""Task micro-benchmarks on Python's asyncio: asyncio_tasks.py [asyncio|uvloop]

Prints `name ns_per_op` of CPU time. measure.hpp says what each line means; the counts are smaller here, except for
the number of outstanding timers.
"""

import asyncio
import contextvars
import random
import statistics
import sys
import time

TASKS = 2
SWITCHES_PER_TASK = 50_000
SPAWNS = 20_000
AWAITS = 500_000
CALLS = 200_000
CALLS_PER_BATCH = 1_000
TIMERS = 1_000_000
CHILDREN_PER_GATHER = 1_000
GATHERS = 20
CANCELS_PER_BATCH = 1_000
CANCEL_BATCHES = 5
ROUND_TRIPS = 50_000
LOCK_ROUNDS = 200_000
REPETITIONS = 3


async def empty():
    pass


async def child(value):
    return value


async def give_way(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def switch():
    await asyncio.gather(*[give_way(SWITCHES_PER_TASK) for _ in range(TASKS)])


async def switch_socket():
    async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0):
        await switch()


async def spawn_join():
    for _ in range(SPAWNS):
        await asyncio.create_task(empty())


async def await_child():
    total = 0
    for i in range(AWAITS):
        total += await child(i)


async def call_soon():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    calls = 0

    def called():
        nonlocal calls
        calls += 1
        if calls == CALLS:
            done.set_result(None)
        elif calls % CALLS_PER_BATCH == 0:
            schedule_batch()

    def schedule_batch():
        for _ in range(CALLS_PER_BATCH):
            loop.call_soon(called)

    schedule_batch()
    await done


async def timer_cancel():
    loop = asyncio.get_running_loop()
    delays = random.Random(1)
    timers = [loop.call_later(3600 + delays.random() * 3600, empty) for _ in range(TIMERS)]
    for timer in timers:
        timer.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def timer_fire():
    loop = asyncio.get_running_loop()
    delays = random.Random(1)
    done = loop.create_future()
    fired = 0

    def on_timer():
        nonlocal fired
        fired += 1
        if fired == TIMERS:
            done.set_result(None)

    for _ in range(TIMERS):
        loop.call_later(delays.random() * 0.1, on_timer)
    await done


async def gather():
    for _ in range(GATHERS):
        await asyncio.gather(*[empty() for _ in range(CHILDREN_PER_GATHER)])


async def cancel():
    """Returns the seconds from cancelling to the end: starting the tasks does not count."""
    elapsed = 0
    for _ in range(CANCEL_BATCHES):
        tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(CANCELS_PER_BATCH)]
        await asyncio.sleep(0)
        begin = time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        elapsed += time.process_time() - begin
    return elapsed


async def queue():
    there = asyncio.Queue()
    back = asyncio.Queue()

    async def echo():
        for _ in range(ROUND_TRIPS):
            await back.put(await there.get())

    other = asyncio.create_task(echo())
    for i in range(ROUND_TRIPS):
        await there.put(i)
        await back.get()
    await other


async def lock():
    alone = asyncio.Lock()
    for _ in range(LOCK_ROUNDS):
        await alone.acquire()
        alone.release()


variable = contextvars.ContextVar("variable")


async def context_get():
    variable.set(1)
    for _ in range(LOCK_ROUNDS):
        variable.get()


async def event():
    there = asyncio.Event()
    back = asyncio.Event()

    async def answer():
        for _ in range(ROUND_TRIPS):
            await there.wait()
            there.clear()
            back.set()

    other = asyncio.create_task(answer())
    for _ in range(ROUND_TRIPS):
        there.set()
        await back.wait()
        back.clear()
    await other


OPERATIONS = {
    switch: TASKS * SWITCHES_PER_TASK,
    switch_socket: TASKS * SWITCHES_PER_TASK,
    spawn_join: SPAWNS,
    await_child: AWAITS,
    call_soon: CALLS,
    timer_cancel: TIMERS,
    timer_fire: TIMERS,
    gather: GATHERS * CHILDREN_PER_GATHER,
    cancel: CANCEL_BATCHES * CANCELS_PER_BATCH,
    queue: ROUND_TRIPS,
    lock: LOCK_ROUNDS,
    context_get: LOCK_ROUNDS,
    event: ROUND_TRIPS,
}


async def timed(function):
    begin = time.process_time()
    elapsed = await function()
    return time.process_time() - begin if elapsed is None else elapsed


def main():
    loop = sys.argv[1] if len(sys.argv) > 1 else "asyncio"
    if loop not in ("asyncio", "uvloop"):
        sys.exit(__doc__)
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    for function, operations in OPERATIONS.items():
        if len(sys.argv) > 2 and function.__name__ not in sys.argv[2:]:
            continue
        times = [asyncio.run(timed(function)) for _ in range(REPETITIONS)]
        print(f"{function.__name__} {statistics.median(times) / operations * 1e9:.2f}", flush=True)


if __name__ == "__main__":
    main()
