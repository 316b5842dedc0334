"""Rules 85 to 91: Lock, Event, Condition, Semaphore, Barrier."""

from __future__ import annotations

from twin import *


async def rule_85():
    """Lock: release wakes the first waiter; a newcomer queues behind it though locked() is false"""
    loop = asyncio.get_running_loop()
    lock = asyncio.Lock()

    async def work(name):
        async with lock:
            trace(f"{name} has it")
            await turns(1)
        trace(f"{name} released")

    await lock.acquire()
    first, second = loop.create_task(work("first")), loop.create_task(work("second"))
    await turns(1)
    lock.release()
    trace(f"locked: {yes(lock.locked())}")
    await work("newcomer")
    await first
    await second
    trace(f"locked: {yes(lock.locked())}")
    trace(ending_of_call(lock.release))
    loop.call_soon(trace, "the loop went on")
    await lock.acquire()
    trace("free: no waiting")
    lock.release()
    await turns(1)


async def rule_86():
    """Lock: a waiter that was woken and is cancelled passes the wake-up on"""
    loop = asyncio.get_running_loop()
    lock = asyncio.Lock()

    async def work(name):
        try:
            await lock.acquire()
        except asyncio.CancelledError:
            trace(f"{name} cancelled, locked: {yes(lock.locked())}")
            raise
        trace(f"{name} has it")
        lock.release()

    await lock.acquire()
    tasks = [loop.create_task(work(name)) for name in ("first", "second", "third")]
    await turns(1)
    lock.release()  # wakes the first
    tasks[0].cancel()
    await turns(4)
    trace(f"{' '.join(yes(task.done()) for task in tasks)}")
    trace("-- cancelled before the release")
    await lock.acquire()
    tasks = [loop.create_task(work(name)) for name in ("first", "second")]
    await turns(1)
    tasks[0].cancel()
    lock.release()
    await turns(4)
    trace(f"{' '.join(yes(task.done()) for task in tasks)}")
    trace("-- cancelled while it is held")
    await lock.acquire()
    tasks = [loop.create_task(work(name)) for name in ("first", "second")]
    await turns(1)
    tasks[0].cancel()
    await turns(2)
    lock.release()
    await turns(4)
    trace(f"{' '.join(yes(task.done()) for task in tasks)}, locked: {yes(lock.locked())}")


async def rule_87():
    """Event: set wakes all that wait in order, even if clear() follows at once"""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    async def wait(name):
        result = await event.wait()
        trace(f"{name} woken: {yes(result)}, set: {yes(event.is_set())}")

    tasks = [loop.create_task(wait(name)) for name in ("first", "second", "third")]
    await turns(1)
    tasks[1].cancel()
    event.set()
    event.clear()
    late = loop.create_task(wait("late"))
    await turns(3)
    trace(f"{' '.join(yes(task.done()) for task in tasks)}, late: {yes(late.done())}")
    event.set()
    event.set()
    await late
    loop.call_soon(trace, "the loop went on")
    await wait("while it is set")
    await turns(1)


async def rule_88():
    """Condition: wait takes the lock again even when cancelled repeatedly, and raises holding it"""
    loop = asyncio.get_running_loop()
    condition = asyncio.Condition()

    async def wait(name):
        async with condition:
            try:
                await condition.wait()
            except asyncio.CancelledError as error:
                trace(f"{name}: {error_text(error)}, locked: {yes(condition.locked())}")
                raise
            trace(f"{name} notified, locked: {yes(condition.locked())}")

    trace(ending_of_call(condition.notify))
    trace(await ending(condition.wait()))
    task = loop.create_task(wait("waiter"))
    await turns(1)
    await condition.acquire()
    task.cancel("first")
    await turns(2)
    trace(f"done while the lock is held: {yes(task.done())}")
    task.cancel("second")
    await turns(2)
    trace(f"done while the lock is held: {yes(task.done())}")
    condition.release()
    trace(await ending(task))
    trace(f"locked: {yes(condition.locked())}, cancelling: {task.cancelling()}")
    trace("-- notify")
    tasks = [loop.create_task(wait(name)) for name in ("first", "second", "third")]
    await turns(1)
    async with condition:
        condition.notify()
        trace("notified one")
    await turns(3)
    async with condition:
        condition.notify_all()
    await asyncio.wait(tasks)

    async def wait_for():
        async with condition:
            trace(await condition.wait_for(lambda: value))

    value = ""
    task = loop.create_task(wait_for())
    for value in "", "value":
        await turns(1)
        async with condition:
            condition.notify_all()
    await task


async def rule_89():
    """Condition: a waiter that was notified and is cancelled passes the notification on"""
    loop = asyncio.get_running_loop()
    condition = asyncio.Condition()

    async def wait(name):
        async with condition:
            await condition.wait()
            trace(f"{name} notified")

    tasks = [loop.create_task(wait(name)) for name in ("first", "second")]
    await turns(1)
    async with condition:
        condition.notify()
        tasks[0].cancel()
    await turns(5)
    trace(f"first cancelled: {yes(tasks[0].cancelled())}, second done: {yes(tasks[1].done())}")
    tasks[1].cancel()
    await ending(tasks[1])


async def rule_90():
    """Semaphore: first come, first served; a newcomer queues; cancelled after the wake-up it gives the permit back"""
    loop = asyncio.get_running_loop()
    semaphore = asyncio.Semaphore(1)

    async def work(name):
        await semaphore.acquire()
        trace(f"{name} has it")
        await turns(1)
        semaphore.release()

    await semaphore.acquire()
    trace(f"locked: {yes(semaphore.locked())}")
    first, second = loop.create_task(work("first")), loop.create_task(work("second"))
    await turns(1)
    semaphore.release()
    trace(f"locked: {yes(semaphore.locked())}")
    await work("newcomer")
    await first
    await second
    trace(f"locked: {yes(semaphore.locked())}")
    trace("-- cancelled after the wake-up")
    await semaphore.acquire()
    tasks = [loop.create_task(work("first")), loop.create_task(work("second"))]
    await turns(1)
    semaphore.release()
    tasks[0].cancel()
    await turns(4)
    trace(f"{yes(tasks[0].cancelled())} {yes(tasks[1].done())}, locked: {yes(semaphore.locked())}")
    trace("-- two permits")
    semaphore = asyncio.Semaphore(2)
    tasks = [loop.create_task(work(name)) for name in ("first", "second", "third", "fourth")]
    await asyncio.wait(tasks)
    trace(error_type(error_of_construction(lambda: asyncio.Semaphore(-1))))
    bounded = asyncio.BoundedSemaphore(1)
    await bounded.acquire()
    bounded.release()
    trace(ending_of_call(bounded.release))


def error_of_construction(function):
    try:
        function()
    except Exception as error:
        return error


async def rule_91():
    """Barrier: draining blocks the next generation; reset breaks the waits, abort the barrier"""
    loop = asyncio.get_running_loop()
    barrier = asyncio.Barrier(2)

    async def wait(name):
        try:
            index = await barrier.wait()
        except asyncio.BrokenBarrierError:
            trace(f"{name}: broken")
            return
        trace(f"{name}: {index}")

    trace(ending_of_call(lambda: asyncio.Barrier(0)))
    tasks = [loop.create_task(wait(name)) for name in ("first", "second", "third", "fourth")]
    await asyncio.wait(tasks)
    trace(f"waiting: {barrier.n_waiting} of {barrier.parties}, broken: {yes(barrier.broken)}")
    trace("-- a waiter that is cancelled leaves")
    task = loop.create_task(wait("cancelled one"))
    await turns(1)
    trace(f"waiting: {barrier.n_waiting}")
    task.cancel()
    await ending(task)
    trace(f"waiting: {barrier.n_waiting}, broken: {yes(barrier.broken)}")
    trace("-- reset")
    task = loop.create_task(wait("fifth"))
    await turns(1)
    await barrier.reset()
    await task
    trace(f"broken: {yes(barrier.broken)}")
    await asyncio.gather(wait("sixth"), wait("seventh"))
    trace("-- abort")
    task = loop.create_task(wait("eighth"))
    await turns(1)
    await barrier.abort()
    await task
    trace(f"broken: {yes(barrier.broken)}")
    await wait("ninth")
    await barrier.reset()
    trace(f"broken: {yes(barrier.broken)}")
