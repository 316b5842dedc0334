"""Rules 56 to 65: wait, wait_for, as_completed."""

from __future__ import annotations

import time

from twin import *


async def sleeper(milliseconds, value):
    """A coroutine that gives a value after some time."""
    try:
        await sleep_ms(milliseconds)
    except asyncio.CancelledError:
        trace(f"{value} cancelled")
        raise
    return value


async def fail(milliseconds, message):
    await sleep_ms(milliseconds)
    raise ValueError(message)


async def forever():
    await sleep_ms(1000)


async def cancel_all(tasks):
    """Ends what a twin leaves running."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        await ending(task)


async def rule_56():
    """wait never raises TimeoutError and never cancels; cancelling the wait leaves the futures running"""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(sleeper(1, "quick")), loop.create_task(forever())]
    done, pending = await asyncio.wait(tasks, timeout=0.015)
    trace(f"done: {len(done)}, pending: {len(pending)}")
    trace(f"the quick one: {yes(tasks[0] in done)}, cancelled: {yes(tasks[1].cancelled())}")
    done, pending = await asyncio.wait(tasks, timeout=0)
    trace(f"without time: {len(done)}, {len(pending)}")

    async def wait():
        await asyncio.wait([tasks[1]])

    waiting = loop.create_task(wait())
    await turns(2)
    waiting.cancel()
    trace(await ending(waiting))
    trace(f"still running: {yes(not tasks[1].done())}, cancelling: {tasks[1].cancelling()}")
    trace(error_text(await error_of(asyncio.wait([]))))
    done, pending = await asyncio.wait([tasks[0], tasks[0]])
    trace(f"twice the same: {len(done)}")
    await cancel_all(tasks[1:])


async def rule_57():
    """whatever is done by the time wait wakes up is in done"""
    loop = asyncio.get_running_loop()
    first, second, third = (loop.create_future() for _ in range(3))

    async def wait():
        done, pending = await asyncio.wait([first, second, third], return_when=asyncio.FIRST_COMPLETED)
        trace(f"done: {len(done)}, pending: {len(pending)}")
        trace(f"{yes(first in done)} {yes(second in done)} {yes(third in done)}")

    task = loop.create_task(wait())
    await turns(1)
    first.set_result(None)
    await turns(1)  # the callback that wakes the wait
    second.set_result(None)
    await task
    trace("-- all done before")
    done, pending = await asyncio.wait([first, second])
    trace(f"done: {len(done)}, pending: {len(pending)}")


async def rule_58():
    """FIRST_EXCEPTION ends at an exception, not at a cancellation"""
    loop = asyncio.get_running_loop()

    def begin():
        return [loop.create_task(sleeper(1000, "cancelled one")), loop.create_task(fail(10, "error")),
                loop.create_task(forever())]

    tasks = begin()
    loop.call_soon(loop.call_soon, tasks[0].cancel)
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    trace(f"done: {len(done)}, pending: {len(pending)}")
    trace(f"cancelled: {yes(tasks[0].cancelled())}, {error_text(tasks[1].exception())}")
    await cancel_all(tasks[2:])
    trace("-- FIRST_COMPLETED")
    tasks = begin()
    loop.call_soon(loop.call_soon, tasks[0].cancel)
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    trace(f"done: {len(done)}, pending: {len(pending)}")
    await cancel_all(tasks[1:])
    trace("-- an error that nobody looks at counts as seen")
    tasks = [loop.create_task(fail(1, "unseen")), loop.create_task(forever())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    del tasks[0]
    collect()
    await cancel_all(tasks)
    trace("-- no exception")
    tasks = [loop.create_task(sleeper(1, "a")), loop.create_task(sleeper(1, "b"))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    trace(f"done: {len(done)}, pending: {len(pending)}")


async def rule_59():
    """wait_for with no time left: a done future gives its result, a coroutine never starts"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.set_result("result")
    trace(await asyncio.wait_for(future, 0))
    trace(await asyncio.wait_for(future, -1))

    async def work():
        trace("never")

    trace(await ending(asyncio.wait_for(work(), 0)))
    trace(await ending(asyncio.wait_for(work(), -1)))
    pending = loop.create_future()
    trace(await ending(asyncio.wait_for(pending, 0)))
    trace(f"cancelled: {yes(pending.cancelled())}")
    task = loop.create_task(forever())
    await turns(1)
    trace(await ending(asyncio.wait_for(task, 0)))
    trace(f"cancelled: {yes(task.cancelled())}")
    trace("-- without a limit")
    trace(await asyncio.wait_for(sleeper(1, "value"), None))


async def rule_60():
    """wait_for waits until the cancelled inner one has cleaned up"""
    loop = asyncio.get_running_loop()

    async def work():
        try:
            await sleep_ms(1000)
        finally:
            trace("cleaning up")
            await sleep_ms(20)
            trace("cleaned up")

    trace(await ending(asyncio.wait_for(work(), 0.005)))
    task = loop.create_task(work())
    trace(await ending(asyncio.wait_for(task, 0.005)))
    trace(f"cancelled: {yes(task.cancelled())}")
    trace(f"cancelling: {asyncio.current_task().cancelling()}")


async def rule_61():
    """another error of the inner one during its cancellation propagates"""
    loop = asyncio.get_running_loop()

    async def work():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            raise ValueError("in the cleanup")

    trace(error_text(await error_of(asyncio.wait_for(work(), 0.005))))
    task = loop.create_task(work())
    trace(error_text(await error_of(asyncio.wait_for(task, 0.005))))
    task = loop.create_task(work())
    await turns(1)
    trace(error_text(await error_of(asyncio.wait_for(task, 0))))
    trace(f"cancelling: {asyncio.current_task().cancelling()}")


async def rule_62():
    """an inner one that refuses the cancellation gives its value"""
    loop = asyncio.get_running_loop()

    async def refuse():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            trace("refused")
        return "value"

    trace(await asyncio.wait_for(refuse(), 0.005))
    trace(await asyncio.wait_for(loop.create_task(refuse()), 0.005))
    task = loop.create_task(refuse())
    await turns(1)
    trace(await asyncio.wait_for(task, 0))
    trace(f"cancelling: {asyncio.current_task().cancelling()}")


async def rule_63():
    """wait_for: result and deadline in one iteration, the deadline before the task's step: TimeoutError"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def wait():
        return await asyncio.wait_for(future, 0.012)

    loop.call_later(0.002, future.set_result, "result")
    task = loop.create_task(wait())
    await turns(2)
    time.sleep(0.025)  # both timers are due in the next iteration
    trace(error_type(await error_of(task)))
    trace(f"future cancelled: {yes(future.cancelled())}, {future.result()}")
    trace("-- the task's step first")
    future = loop.create_future()
    task = loop.create_task(wait())
    await turns(2)
    future.set_result("result")
    time.sleep(0.025)
    trace(await ending(task))
    trace(task.result())


async def rule_64():
    """wait_for: result and external cancellation in one step: CancelledError"""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def wait():
        return await asyncio.wait_for(future, 10)

    task = loop.create_task(wait())
    await turns(2)
    future.set_result("result")
    task.cancel()
    trace(await ending(task))
    trace(f"cancelled: {yes(task.cancelled())}, future: {future.result()}")
    trace("-- waiting")
    future = loop.create_future()
    task = loop.create_task(wait())
    await turns(2)
    task.cancel()
    trace(await ending(task))
    trace(f"future cancelled: {yes(future.cancelled())}")
    trace("-- refused by the inner one")

    async def refuse():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            return "value"

    async def wait_for_refusing():
        return await asyncio.wait_for(refuse(), 10)

    task = loop.create_task(wait_for_refusing())
    await turns(2)
    task.cancel()
    trace(await ending(task))
    trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")


async def rule_65():
    """as_completed: in the order of completion, resumable; after the limit TimeoutError for each that remains"""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(sleeper(delay, f"after {delay} ms")) for delay in (15, 1)]
    ends = asyncio.as_completed([*tasks, fail(30, "after 30 ms")])
    for next_end in ends:
        trace(await next_end)
        break
    trace("resumed")
    for next_end in ends:
        error = await error_of(next_end)
        trace(error_text(error))
    trace("-- limited")
    tasks = [loop.create_task(sleeper(1, "in time")), loop.create_task(forever()), loop.create_task(forever())]
    await tasks[0]
    for next_end in asyncio.as_completed(tasks, timeout=0.015):
        trace(await ending(next_end))
    trace(f"still running: {yes(not tasks[1].done())} {yes(not tasks[2].done())}")
    await cancel_all(tasks[1:])
    trace("-- twice the same")
    task = loop.create_task(sleeper(1, "once"))
    count = 0
    for next_end in asyncio.as_completed([task, task]):
        trace(await next_end)
        count += 1
    trace(f"{count} given")
    trace(f"of nothing: {len(list(asyncio.as_completed([])))}")
    trace("-- done before")
    future = loop.create_future()
    future.set_result("at once")
    loop.call_soon(trace, "the loop went on")
    for next_end in asyncio.as_completed([future]):
        trace(await next_end)
