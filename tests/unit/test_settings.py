"""Settings: what is refused, and overrides that keep every constraint."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from disentangledssl.settings import AugmentationSettings, ScalingSettings, TrainingSettings, optional

Overrides = optional(TrainingSettings, "Overrides")


def test_small_settings_are_accepted_and_read_back(small):
    assert TrainingSettings(**small()).model_dump() == small()


def test_whole_numbers_may_stand_for_real_ones(small):
    assert TrainingSettings(**small(kappa=1000, temperature=1)).kappa == 1000.0


BAD = [
    ("epochs", 0), ("epochs", 2.0), ("epochs", "2"), ("epochs", True), ("epochs", None),
    ("batch_size", 1), ("learning_rate", 0), ("learning_rate", "1e-4"), ("learning_rate", float("nan")),
    ("learning_rate", float("inf")), ("hidden", 0), ("layers", 0), ("dimensions", 1), ("weight_std", 0.0),
    ("weight_std", -0.01), ("temperature", 0.0249), ("kappa", 0), ("kappa", float("inf")),
    ("orthogonality", "row"), ("orthogonality", None), ("augmentation", None), ("augmentation", {}),
    ("augmentation", {"noise_std": -0.1, "drop_fraction": 0.1, "dimensions": None}),
    ("augmentation", {"noise_std": 0.1, "drop_fraction": 1.0, "dimensions": None}),
    ("augmentation", {"noise_std": 0.1, "drop_fraction": 0.1, "dimensions": 0}),
    ("augmentation", {"noise_std": 0.1, "drop_fraction": 0.1, "dimensions": None, "kind": "all"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_training_refuses(small, name, value):
    with pytest.raises(ValidationError) as caught:
        TrainingSettings(**small(**{name: value}))
    assert {error["loc"][0] for error in caught.value.errors()} == {name}


def test_missing_and_unknown_settings_are_refused(small):
    values = small()
    values.pop("kappa")
    with pytest.raises(ValidationError, match="kappa"):
        TrainingSettings(**values)
    with pytest.raises(ValidationError, match="tau"):
        TrainingSettings(**small(), tau=0.1)


def test_settings_cannot_be_changed(small):
    with pytest.raises(ValidationError):
        TrainingSettings(**small()).epochs = 3


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
    assert list(Overrides.model_fields) == list(TrainingSettings.model_fields)
    for name, field in TrainingSettings.model_fields.items():
        assert Overrides.model_fields[name].description == field.description
    inner = optional(AugmentationSettings, "Inner")
    assert not any(field.is_required() for field in inner.model_fields.values())
    assert all(field.is_required() for field in AugmentationSettings.model_fields.values())
