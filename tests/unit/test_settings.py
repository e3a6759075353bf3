"""Settings: what is refused, and overrides that keep every constraint."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from disentangledssl.settings import (
    STAGE_SETTINGS,
    AugmentationSettings,
    DecoderSettings,
    ScalingSettings,
    SharedSettings,
    TrainingSettings,
    optional,
)

Overrides = optional(SharedSettings, "Overrides")


@pytest.fixture
def shared(small):
    """What several stages have in common."""

    def settings(**others):
        both = small("step1") | small("step2")
        return {name: both[name] for name in SharedSettings.model_fields} | others

    return settings


@pytest.mark.parametrize("stage", STAGE_SETTINGS)
def test_small_settings_are_accepted_and_read_back(small, stage):
    assert STAGE_SETTINGS[stage](**small(stage)).model_dump() == small(stage)


def test_whole_numbers_may_stand_for_real_ones(shared):
    assert SharedSettings(**shared(kappa=1000, temperature=1)).kappa == 1000.0


TRANSFORMER = {
    "network": "transformer", "width": None, "layers": 5, "heads": 5, "feedforward": 2048, "dropout": 0.1,
    "readout": "last_step", "augmentation": {"noise_std": 0.1, "drop_fraction": 0.2},
}  # fmt: skip
GRU = {
    "network": "gru", "hidden": 30, "per_step": 15, "augmentation": {"noise_std": 0.1, "drop_fraction": 0.2},
}  # fmt: skip


@pytest.mark.parametrize("sequences", [None, TRANSFORMER, TRANSFORMER | {"width": 300}, GRU])
def test_encoders_of_sequences_are_accepted_and_read_back(shared, sequences):
    assert SharedSettings(**shared(sequences=sequences)).model_dump()["sequences"] == sequences


BAD = [
    ("epochs", 0), ("epochs", 2.0), ("epochs", "2"), ("epochs", True), ("epochs", None),
    ("batch_size", 1), ("learning_rate", 0), ("learning_rate", "1e-4"), ("learning_rate", float("nan")),
    ("learning_rate", float("inf")), ("hidden", 0), ("layers", 0), ("dimensions", 1), ("weight_std", 0.0),
    ("weight_std", -0.01), ("temperature", 0.0249), ("kappa", 0), ("kappa", float("inf")),
    ("orthogonality", "row"), ("orthogonality", None), ("augmentation", None), ("augmentation", {}),
    ("augmentation", {"kind": "drop", "noise_std": -0.1, "drop_fraction": 0.1, "dimensions": None}),
    ("augmentation", {"kind": "drop", "noise_std": 0.1, "drop_fraction": 1.0, "dimensions": None}),
    ("augmentation", {"kind": "drop", "noise_std": 0.1, "drop_fraction": 0.1, "dimensions": 0}),
    ("augmentation", {"kind": "drop", "noise_std": 0.1, "drop_fraction": 0.1, "dimensions": None, "which": "all"}),
    ("augmentation", {"kind": "all", "noise_std": 0.1, "drop_fraction": 0.1, "dimensions": None}),
    ("sequences", {}), ("sequences", "gru"), ("sequences", TRANSFORMER | {"network": "lstm"}),
    ("sequences", TRANSFORMER | {"heads": 0}), ("sequences", TRANSFORMER | {"dropout": 1.0}),
    ("sequences", TRANSFORMER | {"readout": "first"}), ("sequences", TRANSFORMER | {"per_step": 15}),
    ("sequences", {name: value for name, value in TRANSFORMER.items() if name != "width"}),
    ("sequences", TRANSFORMER | {"augmentation": {"noise_std": 0.1, "drop_fraction": 0.2, "dimensions": None}}),
    ("sequences", GRU | {"per_step": 0}), ("sequences", GRU | {"layers": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_training_refuses(shared, name, value):
    with pytest.raises(ValidationError) as caught:
        SharedSettings(**shared(**{name: value}))
    assert {error["loc"][0] for error in caught.value.errors()} == {name}


OF_A_STAGE = [
    ("jointopt", "normaliser", 1), ("jointopt", "normaliser", None), ("focal", "cosine", "unsigned"),
    ("dmvae", "prior_expert", "yes"), ("dmvae", "cross_kl", "crossed"), ("dmvae", "info_nce_weight", -1),
    ("dmvae", "info_nce_weight", float("inf")), ("factorcl", "head_width", "published"), ("factorcl", "head_width", 40),
    ("factorcl", "critic_hidden", 0),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "name", "value"), OF_A_STAGE)
def test_what_a_stage_refuses(small, stage, name, value):
    with pytest.raises(ValidationError) as caught:
        STAGE_SETTINGS[stage](**small(stage, **{name: value}))
    assert {error["loc"][0] for error in caught.value.errors()} == {name}


@pytest.mark.parametrize("stage", STAGE_SETTINGS)
def test_missing_and_unknown_settings_are_refused(small, stage):
    for name in small(stage):
        with pytest.raises(ValidationError, match=name):
            STAGE_SETTINGS[stage](**{key: value for key, value in small(stage).items() if key != name})
    with pytest.raises(ValidationError, match="tau"):
        STAGE_SETTINGS[stage](**small(stage), tau=0.1)


def test_no_stage_has_what_it_does_not_use():
    """A changed value re-trains every stage that has it."""
    own = {
        stage: set(model.model_fields) - set(TrainingSettings.model_fields) for stage, model in STAGE_SETTINGS.items()
    }
    assert own == {
        "clip": {"temperature"},
        "step1": {"temperature", "kappa"},
        "step2": {"temperature", "orthogonality"},
        "jointopt": {"temperature", "kappa", "orthogonality", "normaliser"},
        "focal": {"temperature", "cosine"},
        "dmvae": {"temperature", "prior_expert", "cross_kl", "info_nce_weight"},
        "factorcl": {"head_width", "critic_hidden"},
    }


def test_settings_cannot_be_changed(shared):
    with pytest.raises(ValidationError):
        SharedSettings(**shared()).epochs = 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit_norm", 1), ("unit_norm", "yes"), ("clip_quantile", 0.5), ("clip_quantile", -0.1), ("standardise", None),
        ("clip", 0), ("clip", float("inf")), ("statistics", "test"), ("mean", 0),
    ],
)  # fmt: skip
def test_what_scaling_refuses(plain, name, value):
    assert ScalingSettings(**plain)
    with pytest.raises(ValidationError):
        ScalingSettings(**(plain | {name: value}))


def test_scaling_needs_every_setting(plain):
    for name in plain:
        with pytest.raises(ValidationError, match=name):
            ScalingSettings(**{key: value for key, value in plain.items() if key != name})


DECODERS = {
    "hidden": 512, "epochs": 100, "batch_size": 256, "learning_rate": 1e-3, "patience": 10, "weight_std": 0.01,
    "codes": "raw",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 0), ("hidden", 1.5), ("epochs", 0), ("batch_size", 0), ("learning_rate", 0), ("patience", 0),
        ("patience", None), ("weight_std", 0), ("codes", "scaled"), ("layers", 2),
    ],
)  # fmt: skip
def test_what_decoders_refuse(name, value):
    assert DecoderSettings(**DECODERS).model_dump() == DECODERS
    with pytest.raises(ValidationError, match=name):
        DecoderSettings(**DECODERS | {name: value})


def test_decoders_need_every_setting():
    assert set(DECODERS) == set(DecoderSettings.model_fields)
    for name in DECODERS:
        with pytest.raises(ValidationError, match=name):
            DecoderSettings(**{key: value for key, value in DECODERS.items() if key != name})


# ---------------------------------------------------------------- overrides


def test_overrides_need_nothing_and_say_what_was_set():
    assert Overrides().model_dump(exclude_unset=True) == {}
    some = Overrides(epochs=3, augmentation={"noise_std": 0.5})
    assert some.model_dump(exclude_unset=True) == {"epochs": 3, "augmentation": {"noise_std": 0.5}}
    # A null that is allowed is an override, too.
    none = Overrides(augmentation={"dimensions": None})
    assert none.model_dump(exclude_unset=True) == {"augmentation": {"dimensions": None}}


@pytest.mark.parametrize(("name", "value"), [case for case in BAD if case[1] != {}])
def test_overrides_keep_every_constraint(name, value):
    with pytest.raises(ValidationError):
        Overrides(**{name: value})


def test_overrides_refuse_unknown_settings_at_every_depth():
    with pytest.raises(ValidationError, match="epoch"):
        Overrides(epoch=3)
    with pytest.raises(ValidationError, match="noise"):
        Overrides(augmentation={"noise": 0.5})


def test_overrides_keep_names_and_descriptions():
    assert list(Overrides.model_fields) == list(SharedSettings.model_fields)
    for name, field in SharedSettings.model_fields.items():
        assert Overrides.model_fields[name].description == field.description
    inner = optional(AugmentationSettings, "Inner")
    assert not any(field.is_required() for field in inner.model_fields.values())
    assert all(field.is_required() for field in AugmentationSettings.model_fields.values())
