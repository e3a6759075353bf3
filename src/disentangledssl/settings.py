"""Settings of one training stage, checked; shared by the config and by training (imports pydantic only)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model


class Strict(BaseModel):
    """A model that refuses unknown keys, silent conversions, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class AugmentationSettings(Strict):
    """Per sample one of: noise, dropped dimensions, nothing (App. H.1; numbers from the authors' code)."""

    noise_std: float = Field(ge=0, description="standard deviation of the added noise")
    drop_fraction: float = Field(ge=0, lt=1, description="share of the dimensions set to zero")
    dimensions: int | None = Field(ge=1, description="touch only the first so many dimensions; null = all")


class TrainingSettings(Strict):
    """Everything that training one stage depends on, besides data, hyperparameters of the grid and seed."""

    epochs: int = Field(ge=1, description="passes over the training pairs")
    batch_size: int = Field(ge=2, description="pairs a mini-batch; the last partial one is dropped")
    learning_rate: float = Field(gt=0, description="Adam's; cosine to 0, stepped once an epoch")
    hidden: int = Field(ge=1, description="width of the hidden layers of every encoder")
    layers: int = Field(ge=1, description="linear layers of every encoder (paper: 3; authors' code: 2 for steps 1, 2)")
    dimensions: int = Field(ge=2, description="width of every representation")
    weight_std: float = Field(gt=0, description="standard deviation of the initial weights")
    temperature: float = Field(ge=0.025, description="of InfoNCE")
    kappa: float = Field(gt=0, description="concentration of the vMF encoders")
    orthogonality: Literal["rows", "columns"] = Field(
        description="unit rows (authors' code) or unit columns (paper's text) in step 2's orthogonality loss"
    )
    augmentation: AugmentationSettings


def optional(model: type[BaseModel], name: str) -> type[BaseModel]:
    """Derive a model with the same fields, none of them required: for overrides in the config."""
    fields: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = optional(kind, f"{kind.__name__}Overrides")
        # A copy that shares constraints and description; the default marks "not overridden".
        fields[key] = (kind, field.merge_field_infos(field, default=None))
    return create_model(name, __base__=Strict, __doc__=f"Overrides of {model.__name__}.", **fields)


class ScalingSettings(Strict):
    """What happens to a view on loading, in this order; every statistic is fitted inside the fold."""

    unit_norm: bool = Field(description="scale every row to length one")
    clip_quantile: float | None = Field(ge=0, lt=0.5, description="clip each feature at this quantile and its mirror")
    standardise: bool = Field(description="subtract each feature's mean and divide by its standard deviation")
    clip: float | None = Field(gt=0, description="clip to plus or minus this, after standardising")
    statistics: Literal["train", "all"] = Field(description="rows that statistics are fitted on (all: reference code)")
