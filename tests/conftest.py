import multiprocessing
import os
import signal
import tempfile

import torch as th
from hypothesis import HealthCheck, settings

# What tests train is remembered as made on this machine, but not in the user's own list. Nothing else is
# trusted: a test that needs more says so.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()
os.environ.pop("TRUST_REMOTE_CODE", None)

# Under nohup, or in the background of a script, these would be ignored, also in processes that tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tests run on the CPU; `make gpu` shows a GPU to those that have a device as a parameter.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Importing the package takes 4 s: once for all processes of environments and trainings.
multiprocessing.set_forkserver_preload(["tests.small_training", "sb3_cardqn.zoo.commands"])

# Small networks: one thread is faster than two, and tests may run side by side. Here and in processes they start.
th.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# No test fails because a machine is slow or busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
