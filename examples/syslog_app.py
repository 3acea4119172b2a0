"""An application that logs to a syslog server, with the standard library's own handler."""

import logging
import logging.handlers


def syslog_logger(name: str, address: tuple[str, int]) -> logging.Logger:
    """A logger whose records go to the syslog server at ``address``, by UDP."""
    handler = logging.handlers.SysLogHandler(address, facility=logging.handlers.SysLogHandler.LOG_DAEMON)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return logger
