"""Rules 116, 117 and 119: the runner, Ctrl-C, exception handlers that fail."""

from __future__ import annotations

import logging
import os
import signal

from twin import *


def rule_116(_):
    """tasks left behind are cancelled and awaited; their errors are reported"""

    async def lingers():
        try:
            await sleep_ms(1000)
        finally:
            await turns(2)
            trace("cleaned up")

    async def fails():
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            raise ValueError("in the cleanup")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        loop.create_task(lingers())
        loop.create_task(fails())
        await turns(1)
        trace("main ends")
        return "value"

    runner = asyncio.Runner()
    trace(runner.run(main()))
    first = runner.get_loop()

    async def again():
        trace(f"tasks still there: {len(asyncio.all_tasks()) - 1}")
        trace(f"same loop: {yes(asyncio.get_running_loop() is first)}")
        trace(error_of_call(lambda: asyncio.Runner().run(nothing())))
        raise ValueError("of main")

    async def nothing():
        trace("never")

    trace(error_of_call(lambda: runner.run(again())))
    trace("close")
    runner.close()
    runner.close()
    trace(error_of_call(lambda: runner.run(nothing())))
    trace(error_of_call(runner.get_loop))


def rule_117(_):
    """Ctrl-C cancels the main task, then KeyboardInterrupt; one that swallows it gives its result; a second one leaves"""

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    async def cancelled():
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await sleep_ms(1000)
        except asyncio.CancelledError:
            trace(f"cancelled, cancelling: {asyncio.current_task().cancelling()}")
            raise

    async def swallows():
        asyncio.get_running_loop().call_soon(interrupt)
        trace(await ending(sleep_ms(1000)))
        await turns(1)
        return "value"

    async def fails():
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await sleep_ms(1000)
        finally:
            raise ValueError("in the cleanup")

    async def twice():
        asyncio.get_running_loop().call_soon(interrupt)
        trace(await ending(sleep_ms(1000)))
        asyncio.get_running_loop().call_soon(interrupt)
        trace(await ending(sleep_ms(1000)))
        trace("cleaned up")

    for main in cancelled, fails:
        with asyncio.Runner() as runner:
            trace(error_of_call(lambda: runner.run(main())))
    with asyncio.Runner() as runner:
        trace(runner.run(swallows()))
        trace("again")
        trace(ending_of_call(lambda: runner.run(cancelled())))
    trace("-- and by somebody else")

    async def cancelled_too():
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(interrupt)
        await error_of(sleep_ms(1000))
        asyncio.get_running_loop().call_later(0.01, task.cancel)
        raise await error_of(sleep_ms(1000))

    async def cancels_itself():
        asyncio.current_task().cancel()
        await turns(1)

    for main in cancelled_too, cancels_itself:
        with asyncio.Runner() as runner:
            trace(error_of_call(lambda: runner.run(main())))
    trace("-- twice")
    with asyncio.Runner() as runner:
        trace(error_of_call(lambda: runner.run(twice())))
        trace("close")


async def rule_119():
    """an exception handler that fails is reported by the default one, and the loop goes on"""
    loop = asyncio.get_running_loop()
    lines = []

    class Collect(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    def fail():
        raise ValueError("of the callback")

    def handle(loop, context):
        trace(f"handler: {error_text(context['exception'])}")
        raise RuntimeError("of the handler")

    handler = Collect()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        loop.set_exception_handler(handle)
        loop.call_soon(fail)
        loop.call_soon(trace, "the loop goes on")
        await turns(1)
        text = "\n".join(lines)
        trace(lines[0].partition("\n")[0])
        trace(f"mentions the callback's error: {yes('of the callback' in text)}")
        trace("-- the default handler")
        lines.clear()
        loop.set_exception_handler(None)
        loop.call_soon(fail)
        await turns(1)
        trace(f"{len(lines)} logged, about a callback: {yes(lines[0].startswith('Exception in callback'))}")
    finally:
        logger.removeHandler(handler)
