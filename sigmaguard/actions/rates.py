"""How often tools are called, by subject: sliding windows over a clock that the caller reads. Bounded."""

from collections import OrderedDict, deque

from sigmaguard.actions.call import ToolCall
from sigmaguard.actions.compiled import Rate

SUBJECTS = 10_000  # windows kept; the one idle longest is forgotten first


class CallRates:
    """Counts calls. Times are seconds of any clock that does not go back."""

    def __init__(self, subjects: int = SUBJECTS) -> None:
        self._limit = subjects
        self._windows: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def admit(self, rates: tuple[Rate, ...], scope: str, call: ToolCall, now: float) -> bool:
        """Counts a call; False where any rate is used up, and then it is not counted."""
        touched: list[deque[float]] = []
        for rate in rates:
            if not rate.names.has(call):
                continue
            window = self._window((scope, rate.key))
            while window and window[0] <= now - rate.seconds:
                window.popleft()
            if len(window) >= rate.calls:
                return False
            touched.append(window)
        for window in touched:
            window.append(now)
        return True

    def _window(self, key: tuple[str, str]) -> deque[float]:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = deque()
            if len(self._windows) > self._limit:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return window
