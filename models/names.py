"""Model names, without torch, so that a space can be checked before anything slow is imported."""

import re

from models.user_code import is_reference, split_reference

FAMILIES: dict[str, str] = {
    "resnet": "ResNet",
    "resnet_preact": "ResNet-preact",
}
"""Name of each family in the published tables, by its name in YAML."""

STAGE_CHANNELS = (16, 32, 64)
"""Number of channels in each stage, the same for all families."""
MAX_DEPTH = 2000
"""Largest depth that is accepted; the deepest published network has 1,202 layers (He et al. 2015)."""
_NAME = re.compile(r"(?P<family>[a-z_]+?)_(?P<depth>\d+)")


def parse_model_name(name: str) -> tuple[str, int]:
    """Split a name into family and depth: `resnet_preact_20` into (`resnet_preact`, 20).

    Raises:
        ValueError: the family is unknown, or the depth is not 6n+2 with n >= 1 (He et al. 2015, section 4.2).
    """
    match = _NAME.fullmatch(name)
    if match is None or match["family"] not in FAMILIES:
        written = _NAME.fullmatch(name.casefold().replace("-", "_"))
        if "-" in name and written and written["family"] in FAMILIES:  # as tables show it
            raise ValueError(f"unknown model {name[:60]!r}: did you mean {written[0][:60]!r}?")
        known = " or ".join(f"{family}_DEPTH" for family in FAMILIES)
        raise ValueError(f"unknown model {name[:60]!r}: write {known}, for example resnet_preact_20, or FILE.py:NAME")
    depth = int(match["depth"])
    if depth > MAX_DEPTH:
        raise ValueError(f"model {name[:60]!r}: the depth must be at most {MAX_DEPTH}")
    if depth < 8 or (depth - 2) % 6:
        lower = max(8, depth - (depth - 2) % 6)
        raise ValueError(f"model {name!r}: the depth must be 6n+2 (8, 14, 20, ...): try {match['family']}_{lower}")
    return match["family"], depth


def name_in_yaml(name: str) -> str:
    """Return `resnet_preact_20` for `ResNet-preact-20`, as tables show it; any other name is returned unchanged."""
    shown, _, depth = name.rpartition("-")
    return next((f"{family}_{depth}" for family, displayed in FAMILIES.items() if displayed == shown), name)


def display_name(name: str) -> str:
    """Return the name in the form of the published tables: `ResNet-preact-20` for `resnet_preact_20`.

    A user's own model is shown by the name of its class.
    """
    if is_reference(name):
        return split_reference(name)[1]
    family, depth = parse_model_name(name)
    return f"{FAMILIES[family]}-{depth}"
