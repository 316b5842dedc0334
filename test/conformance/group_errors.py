"""Rules 80 to 84: task groups inside others, interrupts, what a group refuses."""

from __future__ import annotations

import re

from task_group import child, failing, failing_in_cleanup
from twin import *


async def rule_80():
    """nested groups that fail together: the inner one surfaces its own errors, the outer cancel is kept"""
    loop = asyncio.get_running_loop()

    async def body():
        this = asyncio.current_task()
        async with asyncio.TaskGroup() as outer:
            outer.create_task(failing("outer", 2))
            try:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(failing("inner", 2))
                    await sleep_ms(1000)
            except BaseException as error:
                trace(f"inner: {group_text(error)}, cancelling: {this.cancelling()}")
                raise

    trace(group_text(await error_of(loop.create_task(body()))))

    async def goes_on_in_between():
        this = asyncio.current_task()
        async with asyncio.TaskGroup() as outer:
            outer.create_task(failing("outer", 2))
            try:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(failing("inner", 2))
                    await sleep_ms(1000)
            except* ValueError as errors:
                trace(f"inner: {len(errors.exceptions)}, cancelling: {this.cancelling()}")
            trace(f"in between: {await ending(turns(1))}")
            trace(f"and then: {await ending(turns(1))}")

    task = loop.create_task(goes_on_in_between())
    trace(group_text(await error_of(task)))
    trace(f"cancelling: {task.cancelling()}")

    async def cancelled_from_outside():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(child("outer child", 100))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(failing_in_cleanup("inner"))
                await sleep_ms(1000)

    task = loop.create_task(cancelled_from_outside())
    await turns(2)
    task.cancel()
    trace(group_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")


def rule_81(loop):
    """an interrupt of the body propagates alone after the siblings have ended; one of a child leaves the loop"""

    async def body(interrupt):
        async with asyncio.TaskGroup() as group:
            group.create_task(child("sibling", 100))
            group.create_task(failing_in_cleanup("dropped"))
            await turns(1)
            raise interrupt

    async def caught(interrupt):
        trace(error_text(await error_of(body(interrupt))))
        trace(f"cancelling: {asyncio.current_task().cancelling()}")

    loop.run_until_complete(caught(KeyboardInterrupt()))
    loop.run_until_complete(caught(SystemExit(3)))
    trace("-- of a child")

    async def leave():
        raise SystemExit(4)

    async def group_of_it():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("sibling", 100))
            group.create_task(leave())

    task = loop.create_task(group_of_it())
    trace(error_of_call(lambda: loop.run_until_complete(task)))
    trace(f"group done: {yes(task.done())}")
    trace(error_of_call(lambda: loop.run_until_complete(task)))
    trace(f"group done: {yes(task.done())}, {error_text(task.exception())}")


async def rule_82():
    """a child may add to its group while it runs; after a failure that is an error and the coroutine never runs"""

    async def adds(group):
        await turns(1)
        group.create_task(child("added by a child"))
        trace("adder ends")

    async with asyncio.TaskGroup() as group:
        group.create_task(adds(group))
        trace("body ends")

    async def adds_late(group):
        try:
            await sleep_ms(1000)
        finally:
            trace(refusal(lambda: group.create_task(child("never"))))

    def refusal(function):
        """The message without what names the group."""
        return " ".join(word for word in error_of_call(function).split() if not re.search(r"[<>=]", word))

    async def fails():
        async with asyncio.TaskGroup() as group:
            group.create_task(adds_late(group))
            group.create_task(failing("error"))

    trace(group_text(await error_of(fails())))

    async def in_the_body():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("error"))
            try:
                await sleep_ms(1000)
            except asyncio.CancelledError:
                trace(refusal(lambda: group.create_task(child("never"))))

    trace(group_text(await error_of(in_the_body())))


async def rule_83():
    """a group that has ended takes no more tasks; without a task there is no group"""
    loop = asyncio.get_running_loop()

    def refusal(function):
        return " ".join(word for word in error_of_call(function).split() if not re.search(r"[<>=]", word))

    async with asyncio.TaskGroup() as group:
        group.create_task(child("child"))
    trace(refusal(lambda: group.create_task(child("never"))))

    async def fails():
        nonlocal group
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("error"))

    trace(group_text(await error_of(fails())))
    trace(refusal(lambda: group.create_task(child("never"))))

    def outside():
        trace(refusal(lambda: asyncio.TaskGroup().__aenter__().send(None)))

    loop.call_soon(outside)
    await turns(2)


async def rule_84():
    """a timeout around a group whose child fails in its cleanup: the group of errors propagates"""
    this = asyncio.current_task()

    async def fails_in_cleanup():
        async with asyncio.timeout(0.005):
            async with asyncio.TaskGroup() as group:
                group.create_task(failing_in_cleanup("in the cleanup"))
                await sleep_ms(1000)

    trace(group_text(await error_of(fails_in_cleanup())))
    trace(f"cancelling: {this.cancelling()}")

    async def without_errors():
        async with asyncio.timeout(0.005):
            async with asyncio.TaskGroup() as group:
                group.create_task(child("child", 1))
                await sleep_ms(1000)

    trace(error_type(await error_of(without_errors())))
    trace(f"cancelling: {this.cancelling()}")

    async def inside_a_child():
        async with asyncio.TaskGroup() as group:
            group.create_task(without_errors())

    error = await error_of(inside_a_child())
    trace(f"{error_type(error)} of {error_type(error.exceptions[0])}")
    trace(f"cancelling: {this.cancelling()}")
    trace(await ending(turns(1)))
