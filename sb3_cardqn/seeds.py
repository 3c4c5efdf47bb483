"""Disjoint ranges of environment seeds for training, validation and held-out tracks."""

TRAINING_SEEDS = range(0, 100_000)  # environment i of a run uses the run's seed plus i
VALIDATION_SEEDS = range(100_000, 101_000)  # for choosing checkpoints and hyperparameters
# for demonstrations; they chose no agent, but were known when three decisions were taken: docs/experiments.md
HELD_OUT_SEEDS = range(200_000, 200_100)
FINAL_SEEDS = range(400_000, 401_000)  # driven once, by final agents, after the recipe is frozen
