"""Learning-rate schedule and Optax optimizer from the config."""

import optax


def make_schedule(config, num_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step.

    Args:
      config: the `optimizer` part: `learning_rate`, `warmup_steps`, `schedule` ('cosine', which
        falls to 0 at `num_steps`, or 'constant').
      num_steps: total updates.
    """
    if config.schedule == "cosine":
        # As released: without warmup the very first update uses the peak rate.
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=config.learning_rate,
            warmup_steps=config.warmup_steps,
            decay_steps=max(num_steps, config.warmup_steps + 1),
        )
    if config.schedule == "constant":
        return optax.join_schedules(
            [
                optax.linear_schedule(0.0, config.learning_rate, max(config.warmup_steps, 1)),
                optax.constant_schedule(config.learning_rate),
            ],
            [config.warmup_steps],
        )
    raise ValueError(
        f"optimizer.schedule is {config.schedule!r}; it must be 'cosine' or 'constant'."
    )


def make_optimizer(
    config, num_steps: int, *, factor: float = 1.0, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """Makes AdamW (Adam if `weight_decay` is 0), clipped by global norm if `clip_norm` > 0.

    Args:
      config: the `optimizer` part.
      num_steps: total updates.
      factor: multiplies the learning rate.
      epsilon: Adam adds it to the root of the bias-corrected second moment.
    """
    schedule = make_schedule(config, num_steps)
    adamw = optax.adamw(
        lambda step: factor * schedule(step),
        b1=config.b1,
        b2=config.b2,
        eps=epsilon,
        weight_decay=config.weight_decay,
    )
    if config.clip_norm > 0:
        return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)
    return adamw
