"""Agents as files that cannot run code: weights in safetensors, everything else in JSON."""

from sb3_cardqn.export.agent import SafeAgent, load_pretrained, shipped_agents
from sb3_cardqn.export.policy_file import load_policy

__all__ = ["SafeAgent", "load_policy", "load_pretrained", "shipped_agents"]
