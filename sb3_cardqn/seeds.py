"""Which tracks are for what: three ranges of environment seeds that never meet."""

TRAINING_SEEDS = range(0, 100_000)  # by environment; a run takes its seed and one more for each environment
VALIDATION_SEEDS = range(100_000, 101_000)  # to choose checkpoints and hyperparameters by
# to report on; choose no agent, but changed the recipe once: docs/experiments.md, What went wrong on the laps
HELD_OUT_SEEDS = range(200_000, 200_100)
