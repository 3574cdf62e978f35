"""`enqueue.py MODULE FIRST LAST`: queues jobs with a peer's own producer."""

import importlib
import sys

name, first, last = sys.argv[1:]
importlib.import_module(name).enqueue(range(int(first), int(last)))
