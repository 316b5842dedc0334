"""Rules 73 to 79: task groups, their errors and their cancellation."""

from __future__ import annotations

from twin import *


async def child(name, count=1):
    """Ends after some iterations."""
    try:
        await turns(count)
    except asyncio.CancelledError:
        trace(f"{name} cancelled")
        raise
    trace(f"{name} ends")
    return name


async def failing(message, count=1):
    await turns(count)
    raise ValueError(message)


async def failing_in_cleanup(message):
    try:
        await sleep_ms(1000)
    finally:
        raise ValueError(message)


async def rule_73():
    """the group waits for all its children and lets the body's end pass"""

    async def body():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(child("first", 3))
            second = group.create_task(child("second", 1))
            trace("body ends")
        trace(f"group ends, {first.result()} {second.result()}")
        return "value"

    trace(await body())
    async with asyncio.TaskGroup():
        pass
    trace("an empty group")

    async def waits_in_the_body():
        async with asyncio.TaskGroup() as group:
            trace(await group.create_task(child("awaited")))

    await waits_in_the_body()
    trace(f"cancelling: {asyncio.current_task().cancelling()}")


async def rule_74():
    """the first error of a child cancels its siblings and the body"""

    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("sibling", 100))
            group.create_task(failing("first", 2))
            try:
                await sleep_ms(1000)
            except asyncio.CancelledError as error:
                trace(f"body: {error_text(error)}, cancelling: {asyncio.current_task().cancelling()}")
                raise

    trace(group_text(await error_of(body())))

    async def after_the_body():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("sibling", 100))
            group.create_task(failing("second", 2))
            trace("body ends")

    trace(group_text(await error_of(after_the_body())))

    async def body_fails():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("sibling", 100))
            await turns(1)
            raise ValueError("of the body")

    trace(group_text(await error_of(body_fails())))


async def rule_75():
    """the cancellation of the parent is taken back: what comes after the group runs normally"""
    this = asyncio.current_task()

    async def body():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(failing("error"))
                await sleep_ms(1000)
        except* ValueError as errors:
            trace(f"caught {len(errors.exceptions)}, cancelling: {this.cancelling()}")
        trace(await ending(turns(3)))

    await body()
    trace("-- a body that swallows it")

    async def swallow():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("error"))
            trace(await ending(sleep_ms(1000)))
            trace(await ending(turns(1)))

    trace(group_text(await error_of(swallow())))
    trace(f"cancelling: {this.cancelling()}")


async def rule_76():
    """errors of several children enter one group in the order of completion, the body's own last; groups nest"""

    async def cleanup():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing_in_cleanup("in the cleanup"))
            group.create_task(failing("first", 2))

    trace(group_text(await error_of(cleanup())))

    async def together():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("slow", 2))
            group.create_task(failing("quick", 1))
            group.create_task(failing("quick too", 1))

    trace(group_text(await error_of(together())))

    async def with_the_body():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing_in_cleanup("of the child"))
            await turns(1)
            raise ValueError("of the body")

    trace(group_text(await error_of(with_the_body())))

    async def body_in_cleanup():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("of the child"))
            await failing_in_cleanup("of the body")

    trace(group_text(await error_of(body_in_cleanup())))

    async def nested():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("outer"))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(failing_in_cleanup("inner"))

    trace(group_text(await error_of(nested())))

    async def group_in_a_child():
        async with asyncio.TaskGroup() as group:
            group.create_task(together())

    trace(group_text(await error_of(group_in_a_child())))
    trace(f"cancelling: {asyncio.current_task().cancelling()}")


async def rule_77():
    """a child that is only cancelled does not count"""

    async def body():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(child("cancelled one", 100))
            group.create_task(child("sibling", 4))
            await turns(1)
            task.cancel()
            await turns(1)
            trace("body ends")
        trace(f"cancelled: {yes(task.cancelled())}")

    trace(await ending(body()))

    async def raises_it():
        raise asyncio.CancelledError

    async def of_its_own():
        async with asyncio.TaskGroup() as group:
            group.create_task(raises_it())
            group.create_task(child("sibling", 3))

    trace(await ending(of_its_own()))


async def rule_78():
    """an external cancel cancels the children, waits for them and is raised; errors of children win, the cancel stays"""
    loop = asyncio.get_running_loop()

    async def slow_child():
        try:
            await sleep_ms(1000)
        finally:
            await turns(2)
            trace("child cleaned up")

    async def run(body):
        task = loop.create_task(body)
        await turns(2)
        task.cancel("from outside")
        trace(group_text(await error_of(task)))
        trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")

    async def in_the_body():
        async with asyncio.TaskGroup() as group:
            group.create_task(slow_child())
            await sleep_ms(1000)

    async def at_the_end():
        async with asyncio.TaskGroup() as group:
            group.create_task(slow_child())

    async def with_errors():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing_in_cleanup("of the child"))

    async def goes_on():
        this = asyncio.current_task()
        try:
            await with_errors()
        except* ValueError:
            trace(f"errors first, cancelling: {this.cancelling()}")
        error = await error_of(turns(1))
        trace(f"next await: {error_text(error)}, cancelling: {this.cancelling()}")
        trace(f"the one after: {await ending(turns(1))}")

    for body in in_the_body, at_the_end, with_errors, goes_on:
        await run(body())

    async def fails_meanwhile(waits):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(waits))
            await sleep_ms(1000)

    async def fails(future):
        await future
        raise ValueError("at the same time")

    for count in 0, 1, 2:
        trace(f"-- cancelled {count} iterations after the child was woken")
        future = loop.create_future()
        task = loop.create_task(fails_meanwhile(future))
        await turns(2)
        future.set_result(None)
        await turns(count)
        trace(f"cancel: {yes(task.cancel('from outside'))}")
        trace(group_text(await error_of(task)))
        trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")


async def rule_79():
    """repeated cancels of the parent while the group ends leave no child behind"""
    loop = asyncio.get_running_loop()

    async def stubborn():
        for _ in range(2):
            try:
                await sleep_ms(1000)
            except asyncio.CancelledError:
                trace("child: not yet")
        await turns(3)
        trace("child ends")

    async def body():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stubborn())
            loop.call_soon(lambda: None)
        return task

    task = loop.create_task(body())
    await turns(2)
    for _ in range(3):
        task.cancel()
        await turns(1)
    trace(f"done: {yes(task.done())}")
    left = [each for each in asyncio.all_tasks() if each not in (task, asyncio.current_task())]
    trace(f"children: {len(left)}")
    left[0].cancel()
    trace(await ending(task))
    trace(f"child done: {yes(left[0].done())}, cancelling: {task.cancelling()}")
    trace("-- no children")

    async def empty():
        async with asyncio.TaskGroup():
            await sleep_ms(1000)

    task = loop.create_task(empty())
    await turns(1)
    task.cancel("the body only")
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}")
    trace("-- raised by the body itself")

    async def raises():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("child", 100))
            await turns(1)
            raise asyncio.CancelledError("raised")

    task = loop.create_task(raises())
    trace(error_text(await error_of(task)))
    trace(f"cancelled: {yes(task.cancelled())}, cancelling: {task.cancelling()}")
