"""An exported policy for other programs: ONNX, from the environment's observations to Q-values."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch as th

from sb3_cardqn.cardqn.policies import QNetwork
from sb3_cardqn.durable import replacing
from sb3_cardqn.errors import UserError


def write_onnx(network: QNetwork, path: Path) -> None:
    """
    Write a Q-network as ONNX: ``observation`` (batch, ...) in, as the environment gives it, scaled inside;
    ``q_values`` (batch, actions) float32 out.

    :param network: from ``load_policy``
    :param path: of the file
    :raises UserError: if the extra is not installed
    """
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise UserError(f'ONNX needs: pip install "sb3-cardqn[onnx]" ({error})') from error
    space = network.observation_space
    # A batch of 1 would be taken for a constant.
    observation = th.zeros((2, *space.shape), dtype=getattr(th, str(space.dtype)))  # type: ignore[misc]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # progress that says nothing to a user
        warnings.simplefilter("ignore")
        program = th.onnx.export(
            network,
            (observation,),
            input_names=["observation"],
            output_names=["q_values"],
            dynamic_shapes=({0: th.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    with replacing(path) as beside:
        program.save(beside, external_data=False)
