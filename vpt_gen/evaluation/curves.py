"""Training curves, read from the TensorBoard events of a run."""

import pathlib

# Scalar name -> steps and values, in the order of the steps.
Curves = dict[str, tuple[list[int], list[float]]]


def read_curves(workdir: str | pathlib.Path) -> Curves:
    """Reads all scalars of a run; if a resumed run repeated updates, the last values are used."""
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
