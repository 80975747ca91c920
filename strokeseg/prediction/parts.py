"""The parts of a lesion, such as core and rim, as second stages tell them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from strokeseg.errors import UsageError
from strokeseg.models.classes import LESION
from strokeseg.models.folder import Model
from strokeseg.models.fusion import Fusion
from strokeseg.models.loading import Ensemble
from strokeseg.prediction.ensemble import SLAB_BYTES, Member, WeightedMean, each_slab
from strokeseg.prediction.options import Options
from strokeseg.prediction.second_look import resampled_parts, sighting
from strokeseg.results.lesion_parts import LesionParts
from strokeseg.space.grid import Grid


def wanted_parts(ensemble: Ensemble, options: Options) -> tuple[str, ...]:
    """Give the names of the parts that a case's lesion will have; none without a second stage.

    Raises
    ------
    UsageError
        Parts were asked for, and there will be none.
    """
    leader = ensemble.leader
    opened = leader.second is not None
    return parts_of(leader.model, options if opened else replace(options, stages=1))


def check_parts(models: Sequence[Model], options: Options) -> None:
    """Refuse parts that are asked for where the first model that finds lesions tells none.

    For what has many cases to do: by the files alone, before any is begun. Raises what
    `wanted_parts` does.
    """
    for model in [model for model in models if model.config.finds == LESION][:1]:
        parts_of(model, options)


def parts_of(model: Model, options: Options) -> tuple[str, ...]:
    """Give the names of the parts that a model tells by its files, as `wanted_parts` does.

    `model` is the first that finds lesions. Raises what `wanted_parts` does.
    """
    second = model.config.second
    if second is not None and options.stages > 1:
        return second.parts
    if options.parts:
        why = "its second stage was left out" if second is not None else "has no second stage"
        raise UsageError(
            f"--save parts: {model.name} tells no parts of a lesion ({why}): leave parts "
            "out, or choose a model and options that tell them"
        )
    return ()


def tell_parts(
    members: Sequence[Member],
    target: Grid,
    names: tuple[str, ...],
    fusion: Fusion,
    slab_bytes: int = SLAB_BYTES,
) -> LesionParts:
    """Give each voxel that a second stage saw the part whose logit is highest.

    Logits are averaged over the members that see it, by the weight of their modality; where none
    has any, all count alike. What a second stage of other parts says is not heard.

    Parameters
    ----------
    members, target, fusion, slab_bytes
        As of `strokeseg.prediction.ensemble.posterior`.
    names
        The parts that are wanted.
    """
    labels = np.zeros(target.shape, np.uint8)
    looks = [(m.second, m.modality) for m in members if m.second and m.second.names == names]

    def work(slab: slice) -> None:
        out = labels[slab]
        mean, seen = WeightedMean(out.shape), np.zeros(out.shape, np.bool_)
        for look, modality in looks:
            place = sighting(look, target, slab)
            if place is None:
                continue
            said = np.zeros((len(names), *out.shape), np.float32)
            said[:, *place.box] = np.where(place.where, resampled_parts(look, place), 0)
            weight = np.zeros(out.shape, np.float32)
            weight[place.box] = place.where * np.float32(fusion.weight(modality))
            mean.add(said, weight)
            seen[place.box] |= place.where
        if seen.any():
            out[seen] = 1 + mean.mean().argmax(axis=0)[seen]

    each_slab(target.shape, 2 * len(names) + 2, work, slab_bytes)
    return LesionParts(labels, names)
