"""Training curves, read from the TensorBoard events of a run."""

import pathlib

from vpt_gen.machine.progress import say

# Scalar name -> steps and values, in the order of the steps.
Curves = dict[str, tuple[list[int], list[float]]]


def read_curves(workdir: str | pathlib.Path) -> Curves:
    """Reads all scalars of a run; if a resumed run repeated updates, the last values are used.

    Empty, and a message, if the events are damaged.
    """
    try:
        return _read(str(workdir))
    except Exception as error:  # TensorBoard and protobuf report damage by many errors.
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        say(f"The TensorBoard events in {workdir} are damaged ({reason}); curves are left out.")
        return {}


def _read(workdir: str) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(workdir, size_guidance={"tensors": 0})
    accumulator.Reload()
    curves = {}
    for name in accumulator.Tags()["tensors"]:
        events = [(e.step, make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(name)]
        if events[0][1].ndim == 0:
            last = {step: float(value) for step, value in events}
            curves[name] = (sorted(last), [last[step] for step in sorted(last)])
    return curves
