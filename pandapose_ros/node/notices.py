"""Log lines that would otherwise be repeated with every image."""

import re
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

# Texts may be new with every message, as with a damaged encoding: they must not fill the disk.
_MOST_TEXTS = 100
_RARELY = 10.0


class Notices:
    """Log each text once, or once in a while, however often its cause occurs.

    rclpy's own `once` and `throttle` go by the line of code, so that an unknown encoding would
    hide a truncated image that follows. Here, texts that differ only in numbers are the same.
    After 100 different texts, a new one is logged every 10 seconds at most.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        """Start with nothing logged.

        Args:
            logger: Where to write.
        """
        self._logger = logger
        self._said: dict[str, float] = {}
        self._last_new = -float("inf")

    def info(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log an event unless it was logged within `again_after` seconds."""
        if self._is_due(text, again_after):
            self._logger.info(text)

    def warn(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log a warning unless it was logged within `again_after` seconds."""
        if self._is_due(text, again_after):
            self._logger.warning(text)

    def error(self, text: str, *, again_after: float = float("inf")) -> None:
        """Log an error unless it was logged within `again_after` seconds."""
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
