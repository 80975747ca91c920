"""Whether a case is predicted as its model's volume interval was calibrated."""

from strokeseg.models.loading import Ensemble
from strokeseg.models.volume_interval import VolumeInterval
from strokeseg.prediction.decision import Rule, make_rule
from strokeseg.prediction.options import Options


def calibrated_interval(ensemble: Ensemble, options: Options, rule: Rule) -> VolumeInterval | None:
    """Give the model's interval, or None where it does not hold.

    It holds for one model by itself, with its stages, its flips, its windows, its field of view,
    its fusion and its rule.
    """
    config, usual = ensemble.leader.model.config, Options()
    is_usual = (
        len(ensemble.members) == 1
        and ensemble.brain is None
        and (config.second is None or options.stages == usual.stages)
        and options.tta
        and config.flips
        and options.window in (None, config.window)
        and options.overlap == usual.overlap
        and options.field_of_view in (None, config.field_of_view)
        and options.fused(config.fusion) == config.fusion
        and rule == make_rule(config, usual)
    )
    return config.volume_interval if is_usual else None
