"""Log lines that would otherwise come thirty times a second."""

import re
import time

from rclpy.impl.rcutils_logger import RcutilsLogger


class Notices:
    """Say each thing once, or once in a while, however often it happens.

    rclpy's own `once` and `throttle` go by the line of code, so that an unknown encoding would
    hide a short image that comes after it. Here texts are the same if they differ in numbers only.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        """Start with nothing said.

        Args:
            logger: Where to write.
        """
        self._logger = logger
        self._said: dict[str, float] = {}

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
        if now - self._said.get(key, -float("inf")) < again_after:
            return False
        self._said[key] = now
        return True
