"""Training curves, read back from the TensorBoard events that a run left."""

import pathlib

# Scalar name -> steps and values, in the order of the steps.
Curves = dict[str, tuple[list[int], list[float]]]


def read_curves(workdir: str | pathlib.Path) -> Curves:
    """All scalars of a run; where a resumed run repeated updates, their last values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(workdir), size_guidance={"tensors": 0})
    accumulator.Reload()
    curves = {}
    for name in accumulator.Tags()["tensors"]:
        events = [(e.step, make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(name)]
        if events[0][1].ndim == 0:
            last = {step: float(value) for step, value in events}
            curves[name] = (sorted(last), [last[step] for step in sorted(last)])
    return curves
