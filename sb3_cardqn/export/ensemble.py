"""Several agents as one exported policy, which drives by the mean of their Q-values."""

from collections.abc import Sequence
from dataclasses import replace

import torch as th

from sb3_cardqn.common.torch_layers import CarRacingCNN
from sb3_cardqn.errors import UserError
from sb3_cardqn.export import allowed
from sb3_cardqn.export.policy_file import PolicyFile

_EXTRACTOR = "features_extractor"


def ensemble(policies: Sequence[PolicyFile]) -> PolicyFile:
    """
    Make one policy of several, whose Q-values are the mean of theirs.

    Networks that were trained alone are mostly wrong at different places, so that they may drive better
    together, or worse: to be tried (``docs/recipe.md``). The result is one network: convolutions side by
    side, and one last layer.

    :param policies: of the same network and environment
    :return: what a file of all of them holds
    :raises UserError: if they differ, or their network is no ``CarRacingCNN`` with one linear layer behind it
    """
    first, *others = [_spelled_out(policy) for policy in policies]
    for field in [field for field in first.about if field != "training"]:
        for other in others:
            if other.about[field] != first.about[field]:
                raise UserError(
                    f"several agents as one need the same {field}, "
                    f"got {allowed.short(first.about[field])} and {allowed.short(other.about[field])}"
                )
    extractor, arguments = allowed.look_up(allowed.FEATURES_EXTRACTORS, _EXTRACTOR, first.about[_EXTRACTOR])
    if extractor is not CarRacingCNN or first.about["net_arch"] or first.about["head"] != "Linear":
        raise UserError(
            "several agents as one need CarRacingCNN and behind it a linear or quantile head, "
            f"got {extractor.__name__}, net_arch {first.about['net_arch']} and {first.about['head']}"
        )
    arguments = arguments | {"n_members": len(policies) * arguments["n_members"]}
    about = first.about | {
        _EXTRACTOR: {extractor.__name__: arguments},
        "training": _joined([policy.about["training"] for policy in policies]),
    }
    return PolicyFile(
        about,
        {name: _side_by_side(name, [policy.tensors[name] for policy in policies]) for name in first.tensors},
    )


def _spelled_out(policy: PolicyFile) -> PolicyFile:
    """
    :param policy: perhaps written before some argument came to be
    :return: the same with today's defaults of its features extractor
    """
    table = allowed.FEATURES_EXTRACTORS
    entry = allowed.write_down(
        table, _EXTRACTOR, *allowed.look_up(table, _EXTRACTOR, policy.about[_EXTRACTOR])
    )
    return replace(policy, about=policy.about | {_EXTRACTOR: entry})


def _joined(training: Sequence[dict[str, str | float]]) -> dict[str, str | float]:
    """
    :param training: facts about each agent's
    :return: a version once if all agree, else each agent's; " & " between commands runs them at the same time
    """
    facts: dict[str, str | float] = {}
    for name in training[0]:
        values = [agent.get(name, "?") for agent in training]
        once = len(set(values)) == 1 and name not in ("agent_steps", "command")
        facts[name] = values[0] if once else " & ".join(map(str, values))
    return facts


def _side_by_side(name: str, parts: list[th.Tensor]) -> th.Tensor:
    if name == "q_net.0.weight":  # (actions, features): of each member's own features, one part of the mean
        return th.cat(parts, dim=1) / len(parts)
    if name == "q_net.0.bias":
        return th.stack(parts).mean(dim=0)
    return th.cat(parts)  # a member's channels and features come after the one's before
