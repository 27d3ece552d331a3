"""Log lines that would otherwise come thirty times a second."""

import re
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

# Whoever sends a new text with every message, as a damaged encoding may be, fills no disk.
_MOST_TEXTS = 100
_RARELY = 10.0


class Notices:
    """Say each thing once, or once in a while, however often it happens.

    rclpy's own `once` and `throttle` go by the line of code, so that an unknown encoding would
    hide a short image that comes after it. Here texts are the same if they differ in numbers only.
    After 100 different ones something new is said every 10 seconds at most.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        """Start with nothing said.

        Args:
            logger: Where to write.
        """
        self._logger = logger
        self._said: dict[str, float] = {}
        self._last_new = -float("inf")

    def info(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log an event unless it was said within `again_after` seconds."""
        if self._is_due(text, again_after):
            self._logger.info(text)

    def warn(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log a warning unless it was said within `again_after` seconds."""
        if self._is_due(text, again_after):
            self._logger.warning(text)

    def error(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log an error unless it was said within `again_after` seconds."""
        if self._is_due(text, again_after):
            self._logger.error(text)

    def _is_due(self, text: str, again_after: float) -> bool:
        key, now = re.sub(r"[\d.]+", "#", text), time.monotonic()
        if key not in self._said and len(self._said) >= _MOST_TEXTS:
            if now - self._last_new < _RARELY:
                return False
            del self._said[next(iter(self._said))]
        if now - self._said.get(key, -float("inf")) < again_after:
            return False
        if key not in self._said:
            self._last_new = now
        self._said[key] = now
        return True
