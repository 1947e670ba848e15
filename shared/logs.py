"""Structured logs, to the process's own stderr: readable on a terminal, JSON for a collector.

A traceback shows no values of variables: among them are keys.
"""

import logging
import sys

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import Processor

from shared.settings import Settings

HANDLER = "impasto"


def configure_logs(settings: Settings, *processors: Processor) -> None:
    """Set up structlog once per process; `processors` add to every line."""
    structlog.configure(
        processors=[*_common(*processors), _renderer(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(_level(settings)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
        cache_logger_on_first_use=False,
    )


def adopt_logs(settings: Settings, server: str, level: int | str) -> None:
    """Write what others log in this process as we write ours.

    `server` is the logger of what runs here, Celery or gunicorn. Libraries speak only when
    something is wrong: else they tell what they ask of whom, keys and all.
    """
    handler = logging.StreamHandler(sys.__stderr__)
    handler.name = HANDLER
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*_common(), structlog.stdlib.add_logger_name],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    for other in [other for other in root.handlers if other.name == HANDLER]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(server).setLevel(level)


def _common(*processors: Processor) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        *processors,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]
