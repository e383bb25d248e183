"""Run steps side by side that do not depend on each other, each lane in a Spark session of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import RLock
from typing import Any

from churnwatch.graph import waits_for
from churnwatch.reading import Step
from churnwatch.steps import Outcome

Lane = Callable[[Step], list[Outcome]]


class Shared:
    """An object whose methods are called by one thread at a time."""

    def __init__(self, of: Any) -> None:
        self._of, self._lock = of, RLock()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._of, name)
        if not callable(member):
            return member

        def locked(*args: Any, **more: Any) -> Any:
            with self._lock:
                return member(*args, **more)

        return locked


def side_by_side(lanes: Sequence[Lane], steps: Sequence[Step]) -> Iterator[Outcome]:
    """Run ``steps``, each in a free lane as soon as the steps that it waits for have ended; yield outcomes as steps end.

    Of steps that may start, the earlier one in the order of the flow goes first. An error that ends the run (Ctrl-C, a lost
    lease) is raised once the steps that are under way have ended.
    """
    waits, ended, todo = waits_for(steps), set[int](), list(range(len(steps)))
    free, running = list(lanes), dict[Future[list[Outcome]], tuple[int, Lane]]()
    with ThreadPoolExecutor(len(lanes)) as pool:
        while todo or running:
            for number in [n for n in todo if waits[n] <= ended][: len(free)]:
                todo.remove(number)
                lane = free.pop()
                running[pool.submit(lane, steps[number])] = (number, lane)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: running[one][0]):
                number, lane = running.pop(future)
                ended.add(number)
                free.append(lane)
                yield from future.result()
