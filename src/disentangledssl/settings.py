"""Settings of one training stage, checked; shared by the config and by training (imports pydantic only)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator


class Strict(BaseModel):
    """A model that refuses unknown keys, silent conversions, NaN and infinity, and whole numbers beyond all sense."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    largest: ClassVar[int] = 2**31 - 1  # of whole numbers: more than any setting can mean, and every library takes it

    @field_validator("*")
    @classmethod
    def _within_sense(cls, value: Any) -> Any:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int) and one > cls.largest:
                raise ValueError(f"whole numbers go up to {cls.largest}")
        return value


class AugmentationSettings(Strict):
    """How views without time steps are augmented (App. H.1; numbers from the authors' code)."""

    kind: Literal["drop", "mixup"] = Field(
        description="drop: per sample one of noise, dropped dimensions, nothing; mixup: per mini-batch one of noise, "
        "mixup with a uniform share, nothing (FactorCL's code for MIMIC), with neither of the last two settings"
    )
    noise_std: float = Field(ge=0, description="standard deviation of the added noise")
    drop_fraction: float = Field(ge=0, lt=1, description="share of the dimensions set to zero")
    dimensions: int | None = Field(ge=1, description="touch only the first so many dimensions; null = all")


class SequenceAugmentationSettings(Strict):
    """Per sequence one of: shuffled valid time steps, noise on them, some of them set to zero, nothing."""

    noise_std: float = Field(ge=0, description="standard deviation of the added noise")
    drop_fraction: float = Field(ge=0, lt=1, description="share of the valid time steps set to zero")


class TransformerSettings(Strict):
    """Transformer encoders of sequences (App. H.2; numbers from FactorCL's code)."""

    network: Literal["transformer"]
    width: int | None = Field(ge=1, description="of a time step between the layers; null = dimensions")
    layers: int = Field(ge=1, description="of self-attention and a feed-forward part")
    heads: int = Field(ge=1, description="of the self-attention; they divide the width")
    feedforward: int = Field(ge=1, description="width of the hidden layer of a feed-forward part")
    dropout: float = Field(ge=0, lt=1, description="chance of each number, in training")
    readout: Literal["last_step", "last_valid", "mean"] = Field(
        description="last_step: the last of the file's, padding for most, nothing masked (FactorCL's code: of each "
        "mini-batch's); last_valid, mean: the last valid step, the mean of valid steps, padding masked"
    )
    augmentation: SequenceAugmentationSettings

    def outputs(self, steps: int) -> int:
        """Return how many numbers come out of a sequence of so many time steps (a width that is filled in)."""
        return self.width


class GruSettings(Strict):
    """GRU encoders of sequences (App. H.2; numbers from FactorCL's code for MIMIC)."""

    network: Literal["gru"]
    hidden: int = Field(ge=1, description="width of the state")
    per_step: int = Field(ge=1, description="numbers that each state is mapped to, those of all steps side by side")
    augmentation: SequenceAugmentationSettings

    def outputs(self, steps: int) -> int:
        """Return how many numbers come out of a sequence of so many time steps."""
        return steps * self.per_step


class TrainingSettings(Strict):
    """What training any stage depends on, besides data, hyperparameters of the grid and seed."""

    epochs: int = Field(ge=1, description="passes over the training pairs")
    batch_size: int = Field(ge=2, description="pairs a mini-batch; the last partial one is dropped")
    mini_batches: Literal["pairs", "distinct_groups"] = Field(
        description="drawn from all pairs, or with at most one pair of a group (molecule), which is no false negative"
    )
    learning_rate: float = Field(gt=0, description="Adam's; cosine to 0, stepped once an epoch (of FactorCL: constant)")
    hidden: int = Field(ge=1, description="width of the hidden layers of every encoder")
    layers: int = Field(ge=1, description="linear layers of every encoder (paper: 3; authors' code: 2 for steps 1, 2)")
    dimensions: int = Field(
        ge=2, description="width of every representation; with widths: concatenation, of those of a view together"
    )
    weight_std: float = Field(gt=0, description="standard deviation of the initial weights")
    precision: Literal["float32", "bfloat16"] = Field(
        description="of the encoders' matrix products in training; weights, losses and the rest stay float32"
    )
    augmentation: AugmentationSettings
    sequences: Annotated[TransformerSettings | GruSettings, Field(discriminator="network")] | None = Field(
        description="encoders and augmentation of views that are sequences, given whole; null = there are none"
    )


class ClipSettings(TrainingSettings):
    """CLIP."""

    temperature: float = Field(ge=0.025, description="of InfoNCE")


class Step1Settings(ClipSettings):
    """Step 1 of DisentangledSSL."""

    kappa: float = Field(gt=0, description="concentration of the vMF encoders")


class Step2Settings(ClipSettings):
    """Step 2 of DisentangledSSL."""

    orthogonality: Literal["rows", "columns"] = Field(
        description="unit rows (authors' code) or unit columns (paper's text) in the orthogonality loss"
    )


class SharedSettings(Step1Settings, Step2Settings):
    """What several stages have in common, given once for all of them."""


class JointOptSettings(SharedSettings):
    """JointOpt."""

    normaliser: bool = Field(description="divide the InfoNCE terms by 1 + a (authors' code; not in the paper's text)")


class FocalSettings(ClipSettings):
    """FOCAL."""

    cosine: Literal["signed", "hinge"] = Field(
        description="orthogonality by the signed cosine (authors' code) or by its positive part (FOCAL's own code)"
    )


class DmvaeSettings(ClipSettings):
    """DMVAE."""

    prior_expert: bool = Field(description="the prior as an expert of the product (DMVAE's own code)")
    cross_kl: Literal["own", "as_published"] = Field(
        description="second KL of the private codes with their own variances, or with the other's (authors' code)"
    )
    info_nce_weight: float = Field(ge=0, description="weight of an InfoNCE on the shared means (drug screens; else 0)")


class FactorclSettings(TrainingSettings):
    """FactorCL."""

    head_width: Literal["divided", "kept"] = Field(
        description="a view's five projection heads together as wide as its embedding, or each of them (FactorCL's own)"
    )
    critic_hidden: int = Field(ge=1, description="width of the two hidden layers of every critic")


class DecoderSettings(Strict):
    """Decoders of two linear layers that measure what representations hold of their views."""

    hidden: int = Field(ge=1, description="width of the hidden layer")
    epochs: int = Field(ge=1, description="passes over the training pairs at the most")
    batch_size: int = Field(ge=1, description="pairs a mini-batch; the last partial one is dropped")
    learning_rate: float = Field(gt=0, description="Adam's; constant")
    patience: int = Field(ge=1, description="epochs without a lower validation error after which a decoder is done")
    weight_std: float = Field(gt=0, description="standard deviation of the initial weights")
    codes: Literal["raw", "standardised"] = Field(
        description="what a decoder sees: representations as they are, or each dimension standardised on training pairs"
    )


# By stage; none of them holds what its stage does not use, so that a changed value re-trains no other.
STAGE_SETTINGS: dict[str, type[TrainingSettings]] = {
    "clip": ClipSettings,
    "step1": Step1Settings,
    "step2": Step2Settings,
    "jointopt": JointOptSettings,
    "focal": FocalSettings,
    "dmvae": DmvaeSettings,
    "factorcl": FactorclSettings,
}


def optional(model: type[BaseModel], name: str) -> type[BaseModel]:
    """Derive a model with the same fields, none of them required: for overrides in the config."""
    fields: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        if nested and any(inner.is_required() for inner in kind.model_fields.values()):
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
