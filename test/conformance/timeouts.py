"""Rules 66 to 72: timeout."""

from __future__ import annotations

import time

from twin import *


async def rule_66():
    """at the deadline the body is cancelled and TimeoutError raised; cancelling() is 0 again"""
    this = asyncio.current_task()

    async def body():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError as error:
            trace(f"in the body: {error_text(error)}, cancelling: {this.cancelling()}")
            raise

    async def limited():
        async with asyncio.timeout(0.005) as limit:
            trace(f"expired: {yes(limit.expired())}")
            await body()

    trace(await ending(limited()))
    trace(f"cancelling: {this.cancelling()}")
    trace("-- in time")
    async with asyncio.timeout(1) as limit:
        await turns(1)
        trace(f"expired: {yes(limit.expired())}")
    async with asyncio.timeout(None) as limit:
        trace(f"no deadline: {yes(limit.when() is None)}")
    trace("-- timeout_at")
    when = asyncio.get_running_loop().time() + 0.005

    async def until():
        async with asyncio.timeout_at(when) as limit:
            trace(f"when: {yes(limit.when() == when)}")
            await body()

    trace(await ending(until()))


async def rule_67():
    """external cancel and deadline in one iteration: CancelledError, cancelling() is 1"""
    loop = asyncio.get_running_loop()

    async def work():
        this = asyncio.current_task()
        try:
            async with asyncio.timeout(0.012) as limit:
                await sleep_ms(1000)
        except asyncio.CancelledError:
            trace(f"raised, expired: {yes(limit.expired())}, cancelling: {this.cancelling()}")
            raise

    async def run(cancel_after):
        task = loop.create_task(work())
        await turns(1)
        loop.call_later(cancel_after, task.cancel)
        time.sleep(0.04)  # both timers are due in the next iteration
        trace(await ending(task))
        trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")

    trace("-- cancelled before")
    await run(0.001)
    trace("-- cancelled after")
    await run(0.03)
    trace("-- from outside, no deadline")
    task = loop.create_task(work())
    await turns(1)
    task.cancel()
    trace(await ending(task))
    trace("-- a request from before")

    async def requested():
        this = asyncio.current_task()
        this.cancel()
        trace(await ending(sleep_ms(0)))
        try:
            async with asyncio.timeout(0.005):
                await sleep_ms(1000)
        except TimeoutError:
            trace(f"TimeoutError, cancelling: {this.cancelling()}")

    trace(await ending(loop.create_task(requested())))


async def rule_68():
    """another error of the body at the deadline propagates; a body that swallows the cancellation ends well"""
    this = asyncio.current_task()

    async def other_error():
        async with asyncio.timeout(0.005) as limit:
            try:
                await sleep_ms(1000)
            except asyncio.CancelledError:
                trace(f"expired: {yes(limit.expired())}")
                raise ValueError("instead")

    trace(error_text(await error_of(other_error())))
    trace(f"cancelling: {this.cancelling()}")

    async def swallow():
        async with asyncio.timeout(0.005) as limit:
            trace(await ending(sleep_ms(1000)))
        trace(f"expired: {yes(limit.expired())}, cancelling: {this.cancelling()}")

    trace(await ending(swallow()))
    trace("-- before the deadline")

    async def early():
        async with asyncio.timeout(1) as limit:
            raise ValueError("early")

    trace(error_text(await error_of(early())))


async def rule_69():
    """nested: the inner deadline is handled inside and the outer can still expire; with one deadline both expire"""
    this = asyncio.current_task()

    async def one_after_the_other():
        async with asyncio.timeout(10) as outer:
            try:
                async with asyncio.timeout(0.005) as inner:
                    await sleep_ms(1000)
            except TimeoutError:
                trace(f"inner: {yes(inner.expired())}, outer: {yes(outer.expired())}")
                trace(f"cancelling: {this.cancelling()}")
            outer.reschedule(asyncio.get_running_loop().time() + 0.005)
            try:
                await sleep_ms(1000)
            finally:
                trace(f"inner: {yes(inner.expired())}, outer: {yes(outer.expired())}")

    trace(await ending(one_after_the_other()))
    trace(f"cancelling: {this.cancelling()}")

    async def outer_first():
        async with asyncio.timeout(0.005) as outer:
            try:
                async with asyncio.timeout(1) as inner:
                    await sleep_ms(1000)
            except asyncio.CancelledError:
                trace(f"inner: {yes(inner.expired())}, outer: {yes(outer.expired())}")
                raise

    trace("-- the outer one first")
    trace(await ending(outer_first()))

    async def both():
        async with asyncio.timeout(0.005) as outer:
            try:
                async with asyncio.timeout(0.005) as inner:
                    asyncio.get_running_loop().call_soon(time.sleep, 0.02)
                    await sleep_ms(1000)
            except BaseException as error:
                trace(f"inner: {error_type(error)}, {yes(inner.expired())}, {yes(outer.expired())}")
                raise

    trace("-- both at once")
    trace(await ending(both()))
    trace(f"cancelling: {this.cancelling()}")


async def rule_70():
    """timeout(0) whose body never waits completes, not expired"""

    async def body():
        async with asyncio.timeout(0) as limit:
            trace("body")
        trace(f"expired: {yes(limit.expired())}")

    async def waits():
        async with asyncio.timeout(0) as limit:
            await turns(1)
            trace("one iteration passes")
            await turns(1)
            trace("never")

    async def past():
        async with asyncio.timeout(-1):
            await sleep_ms(1000)

    trace(await ending(body()))
    await turns(2)
    trace(await ending(waits()))
    trace(await ending(past()))


async def rule_71():
    """reschedule moves the deadline, disarms it, fires a past one in the next iteration; it must be active"""
    loop = asyncio.get_running_loop()

    async def earlier():
        async with asyncio.timeout(10) as limit:
            limit.reschedule(loop.time() + 0.005)
            await sleep_ms(1000)

    async def later():
        async with asyncio.timeout(0.005) as limit:
            limit.reschedule(loop.time() + 10)
            await sleep_ms(20)
            trace(f"expired: {yes(limit.expired())}")

    async def never():
        async with asyncio.timeout(0.005) as limit:
            limit.reschedule(None)
            trace(f"disarmed: {yes(limit.when() is None)}")
            await sleep_ms(20)

    async def past():
        async with asyncio.timeout(10) as limit:
            limit.reschedule(loop.time() - 1)
            loop.call_soon(lambda: trace(f"after the deadline: {yes(limit.expired())}"))
            await sleep_ms(1000)

    async def expiring():
        async with asyncio.timeout(0.005) as limit:
            try:
                await sleep_ms(1000)
            finally:
                trace(error_of_call(lambda: limit.reschedule(loop.time())))

    for rule in earlier, later, never, past, expiring:
        trace(await ending(rule()))
    limit = asyncio.timeout(None)
    trace(error_of_call(lambda: limit.reschedule(None)))
    async with limit:
        pass
    trace(error_of_call(lambda: limit.reschedule(None)))
    trace(error_text(await error_of(limit.__aenter__())))


def rule_72(loop):
    """a timeout outside a task is an error"""

    def outside():
        try:
            asyncio.timeout(1).__aenter__().send(None)
        except RuntimeError as error:
            trace(error_text(error))

    loop.call_soon(outside)
    loop.stop()
    loop.run_forever()
