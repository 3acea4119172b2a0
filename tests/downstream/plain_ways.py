"""A pytest plugin that switches off what not every system has: the engine then goes by its loop alone."""

from pytest_echoserver import _engine
from pytest_echoserver._process import pipes, spawned
from pytest_echoserver._readers import LoopReaders

setattr(_engine, "best_readers", LoopReaders)  # noqa: B010  imported there, and not to be used by others
pipes.can_widen = False
spawned.has_pidfds = False
