"""Command ``sb3-cardqn enjoy AGENT``, which also shows exported agents, unlike the zoo's ``enjoy``."""

from pathlib import Path

from sb3_cardqn.agents.exported import shipped_agents
from sb3_cardqn.agents.find import WHICH_AGENT
from sb3_cardqn.agents.trained import TrainedAgent
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import drive, find_agents, make_env
from sb3_cardqn.options import Parser, add_trust
from sb3_cardqn.seeds import HELD_OUT_SEEDS
from sb3_cardqn.zoo.run_names import find_run


def takes(options: list[str]) -> bool:
    """
    :param options: arguments after ``enjoy``
    :return: True if they name an agent, or if nothing was trained yet and an agent is shipped; otherwise the
        zoo's ``enjoy`` handles them
    """
    if options:
        return not options[0].startswith("-")
    return "cardqn" in shipped_agents() and find_run(Path("logs/cardqn"), "CarRacing-v3") is None


def watch(agent: TrainedAgent, first_seed: int, agent_steps: int, render: bool = True) -> None:
    """
    Show an agent in a window in one episode after another, and print every score.

    :param agent: an agent of ``find_agents``
    :param first_seed: seed of the first track or episode; the next ones have the following seeds
    :param agent_steps: number of agent steps to drive
    :param render: True to open a window
    """
    model, task = agent.load_model(), task_of(agent.env_id)
    env = make_env(agent, render_mode="human" if render else None)
    seed, steps = first_seed, drive(model, env, first_seed)
    try:
        for _ in range(agent_steps):
            result = next(steps)
            if result is not None:
                lap = f", lap {'finished' if result.lap_finished else 'unfinished'}" if task.has_laps else ""
                length = f"{result.frames} {task.step}s"
                print(f"{task.episode} {result.seed}: score {result.score:.1f}, {length}{lap}")
                seed += 1
                steps = drive(model, env, seed)
    except KeyboardInterrupt:
        pass
    finally:
        env.close()


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn enjoy AGENT``.

    :param argv: arguments after ``enjoy``
    """
    parser = Parser(
        prog="sb3-cardqn enjoy",
        description="Watch an agent drive the unmodified environment. Without AGENT, options are the zoo's.",
    )
    parser.add_argument(
        "agent",
        nargs="?",
        default="cardqn",
        help=f"{WHICH_AGENT} (default: cardqn)",
    )
    parser.add_argument("-n", "--n-timesteps", type=int, default=1000, help="agent steps (default: 1000)")
    parser.add_argument(
        "--seed",
        type=int,
        default=HELD_OUT_SEEDS.start,
        help="first seed (default: %(default)s)",
    )
    parser.add_argument("--no-render", action="store_true", help="print scores without a window")
    add_trust(parser)
    options = parser.parse_args(argv)
    if options.n_timesteps < 1:
        raise UserError(f"-n needs at least 1 agent step, got {options.n_timesteps}")
    if options.seed < 0:
        raise UserError(f"--seed needs a number of at least 0, got {options.seed}")
    (agent,) = find_agents(options.agent)
    watch(agent, options.seed, options.n_timesteps, not options.no_render)
