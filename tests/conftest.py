import torch as th

# Small networks: one thread is faster than two, and tests may run side by side.
th.set_num_threads(1)
