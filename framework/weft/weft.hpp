#pragma once
// Weft: asyncio for C++20. This header brings the whole core; each noun's own header can be included alone.

#include <weft/io/connection.hpp>
#include <weft/io/server.hpp>
#include <weft/io/streams.hpp>
#include <weft/io/transport.hpp>
#include <weft/loop/context.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/policy.hpp>
#include <weft/services/executor.hpp>
#include <weft/tasks/as_completed.hpp>
#include <weft/tasks/concurrent_future.hpp>
#include <weft/tasks/coro.hpp>
#include <weft/tasks/future.hpp>
#include <weft/tasks/gather.hpp>
#include <weft/tasks/generator.hpp>
#include <weft/tasks/runner.hpp>
#include <weft/tasks/shield.hpp>
#include <weft/tasks/sleep.hpp>
#include <weft/tasks/task.hpp>
#include <weft/tasks/task_group.hpp>
#include <weft/tasks/timeout.hpp>
#include <weft/tasks/try_finally.hpp>
#include <weft/tasks/wait.hpp>
#include <weft/tasks/wait_for.hpp>
