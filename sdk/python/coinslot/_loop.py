"""Runs coroutines: an asyncio event loop on `wasi:io/poll`, and the runner that tests and components share."""

import asyncio
import contextlib


@contextlib.contextmanager
def running(loop: asyncio.AbstractEventLoop):
    """Yields a function that runs one coroutine after another on the loop; closes the loop at the end."""
    try:
        yield loop.run_until_complete
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Selector:
    """What asyncio's base loop asks for events: it polls WASI's pollables and a timer."""

    def __init__(self, poll, timer):
        """`poll` returns the indices of ready pollables; `timer` makes one that is ready after some nanoseconds."""
        self._poll, self._timer = poll, timer
        self.waiting: list[tuple] = []

    def select(self, timeout):
        if timeout is not None and timeout <= 0:
            ready = [entry for entry in self.waiting if entry[0].ready()]
        else:
            ready = self._wait(timeout)
        self.waiting = [entry for entry in self.waiting if entry not in ready]
        return ready

    def _wait(self, timeout):
        pollables = [pollable for pollable, _ in self.waiting]
        if timeout is None:
            if not pollables:
                raise RuntimeError("the coroutine waits for what never comes: nothing else is at work")
            return [self.waiting[index] for index in self._poll(pollables)]
        with self._timer(int(timeout * 1e9) + 1) as timer:
            indices = self._poll([*pollables, timer])
        return [self.waiting[index] for index in indices if index < len(pollables)]

    def close(self):
        self.waiting = []


class WasiLoop(asyncio.BaseEventLoop):
    """asyncio in a component: tasks, `gather`, `sleep`, timeouts and queues; no sockets, threads or processes."""

    def __init__(self, poll, timer):
        super().__init__()
        self._selector = _Selector(poll, timer)

    async def wait(self, pollable) -> None:
        """Waits until a pollable is ready, and releases it."""
        future = self.create_future()
        entry = (pollable, future)
        self._selector.waiting.append(entry)
        try:
            await future
        finally:
            if entry in self._selector.waiting:
                self._selector.waiting.remove(entry)
            pollable.__exit__(None, None, None)

    def _process_events(self, event_list):
        for _, future in event_list:
            if not future.done():
                future.set_result(None)

    def _write_to_self(self):
        """Wakes the loop from another thread; a component has one."""
