// Rules 92 and 93: queues.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

Coro<> get(Queue<std::string> queue, std::string name) {
    const std::string item = co_await queue.get();
    trace(name + " got " + item);
}

Coro<> put(Queue<std::string> queue, std::string item) {
    co_await queue.put(item);
    trace("put " + item);
}

Coro<> join(Queue<std::string> queue) {
    co_await queue.join();
    trace("joined");
}

template <class Q>
void trace_order(Q queue) {
    for (const int item : {2, 3, 1})
        queue.put_nowait(item);
    std::string order;
    while (!queue.empty())
        order += (order.empty() ? "" : " ") + std::to_string(queue.get_nowait());
    trace(order);
}

}  // namespace

TWIN(92, "Queue: a getter cancelled in the step it was woken leaves the item, and the next getter is woken") {
    Queue<std::string> queue;
    Task<> first = create_task(get(queue, "first"));
    Task<> second = create_task(get(queue, "second"));
    co_await turns(1);
    queue.put_nowait("item");
    first.cancel();
    co_await turns(3);
    trace(yes(first.cancelled()) + " " + yes(second.done()) + ", size: " + std::to_string(queue.qsize()));
    trace("-- nobody else waits");
    first = create_task(get(queue, "first"));
    co_await turns(1);
    queue.put_nowait("item");
    first.cancel();
    co_await turns(2);
    const std::string size = std::to_string(queue.qsize());
    trace(yes(first.cancelled()) + ", size: " + size + ", " + queue.get_nowait());
    trace("-- a putter");
    queue = Queue<std::string>(1);
    queue.put_nowait("one");
    first = create_task(put(queue, "two"));
    second = create_task(put(queue, "three"));
    co_await turns(1);
    trace(queue.get_nowait());
    first.cancel();
    co_await turns(3);
    const std::string left = std::to_string(queue.qsize());
    trace(yes(first.cancelled()) + " " + yes(second.done()) + ", size: " + left + ", " + queue.get_nowait());
}

TWIN(93, "Queue: putters in order; task_done too often; join; the other orders; shutdown") {
    Queue<std::string> queue(1);
    std::vector<Task<>> putters;
    for (const char* item : {"a", "b", "c"})
        putters.push_back(create_task(put(queue, item)));
    co_await turns(1);
    trace("full: " + yes(queue.full()) + ", " + ending_of_call([&] { queue.put_nowait("d"); }));
    for (int i = 0; i < 3; ++i) {
        const std::string item = co_await queue.get();
        trace("got " + item);
        co_await turns(2);
    }
    trace("empty: " + yes(queue.empty()) + ", " + ending_of_call([&] { queue.get_nowait(); }));
    (void)co_await wait(putters);
    trace("-- join");
    Task<> joining = create_task(join(queue));
    for (int i = 0; i < 3; ++i) {
        co_await turns(1);
        trace("task_done");
        queue.task_done();
    }
    co_await joining;
    trace(error_of_call([&] { queue.task_done(); }));
    get_running_loop().call_soon([] { trace("the loop went on"); });
    co_await queue.join();
    trace("joined at once");
    co_await turns(1);
    trace("-- other orders");
    trace_order(LifoQueue<int>());
    trace_order(PriorityQueue<int>());
    trace("-- shutdown");
    queue = Queue<std::string>(1);
    queue.put_nowait("last");
    Task<> putter = create_task(put(queue, "never"));
    co_await turns(1);
    queue.shutdown();
    trace(co_await ending(putter));
    trace(co_await ending(queue.put("never")));
    trace(co_await queue.get());
    trace(co_await ending(queue.get()));
    queue.task_done();
    co_await queue.join();
    trace("joined");
    queue = Queue<std::string>();
    Task<> getter = create_task(get(queue, "nobody"));
    co_await turns(1);
    queue.shutdown();
    trace(co_await ending(getter));
    trace("-- immediate");
    queue = Queue<std::string>();
    queue.put_nowait("dropped");
    joining = create_task(join(queue));
    co_await turns(1);
    queue.shutdown(true);
    co_await joining;
    trace("size: " + std::to_string(queue.qsize()) + ", " + ending_of_call([&] { queue.get_nowait(); }));
}
