"""Export of a Q-network as ONNX, for other programs."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch as th

from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.durable import replacing
from sb3_cardqn.errors import UserError


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def write_onnx(network: QNetwork, path: Path) -> None:
    """
    Write a Q-network as ONNX.

    Its input is ``observation`` (batch, ...) of the environment, which it scales itself; its output is
    ``q_values`` (batch, actions) float32.

    :param network: result of ``load_policy``
    :param path: file to write
    :raises UserError: if the extra ``onnx`` is not installed
    """
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise UserError(f'ONNX export needs: pip install "sb3-cardqn[onnx]" ({error})') from error
    space = network.observation_space
    # torch would treat a batch size of 1 as a constant
    observation = th.zeros((2, *space.shape), dtype=getattr(th, str(space.dtype)))  # type: ignore[misc]
    # its messages are for developers
    with warnings.catch_warnings(), _quiet(), redirect_stdout(io.StringIO()):
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
