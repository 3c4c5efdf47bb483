"""Which tracks are for what: three ranges of environment seeds that never meet."""

TRAINING_SEEDS = range(0, 100_000)  # by environment; a run takes its seed and one more for each environment
VALIDATION_SEEDS = range(100_000, 101_000)  # to choose checkpoints and hyperparameters by
# to report on; choose no agent, but were in view when three decisions were taken: docs/experiments.md
HELD_OUT_SEEDS = range(200_000, 200_100)
