"""The texts of `spaces`: one line for each space, or one space with its trials."""

from collections.abc import Sequence

from search_spaces.expansion import expand, parse_overrides
from search_spaces.loader import load_space, shipped_spaces
from search_spaces.parameters import SearchParameter, flow_text
from search_spaces.proposals import ProposalMaker
from search_spaces.schema import SCHEDULER_KEYS
from search_spaces.trial_maker import assignment_words
from trainable.config import FIELD_NAMES, TrainConfig, fields_that_differ, value_of
from trainable.sweep_name import sweep_name
from trainable.wording import counted, format_value


def list_spaces() -> str:
    """One line for each shipped space: its name, number of trials and description."""
    lines = []
    for name in shipped_spaces():
        loaded = load_space(name)
        expansion = expand(loaded, {})
        search = expansion.search
        count = len(expansion.trials) if search is None else search.num_trials * search.num_seeds
        lines.append(f"{name:24} {counted(count, 'trial'):>11}  {loaded.space.description}")
    return "\n".join(lines)


def show_space(name_or_path: str, settings: Sequence[str], scale: str | None = None) -> str:
    """A space with the fields that its trials share, and one line for each trial. What a W&B sweep loses is printed.

    Raises:
        UserError: as in `load_space` and `expand`.
    """
    loaded = load_space(name_or_path)
    loaded.say_notes()
    expansion = expand(loaded, parse_overrides(settings), scale)
    search = expansion.search
    configs = [trial.config for trial in (expansion.trials if search is None else search.corners)]
    varying = fields_that_differ(configs)
    common = [name for name in FIELD_NAMES if name not in varying and _is_shown(name, configs[0])]
    lines = [f"{sweep_name(loaded.name, scale)}: {loaded.space.description}"]
    if loaded.space.reference:
        lines.append(f"published tables: {', '.join(loaded.space.reference)}")
    if loaded.space.scales and scale is None:
        lines.append(f"scales: {', '.join(loaded.space.scales)}")
    lines.append("")
    lines += [f"  {name:16} {format_value(getattr(configs[0], name))}" for name in common]
    notes = [f"note: {note}" for note in expansion.notes]
    if search is not None:
        return "\n".join([*lines, "", *search_lines(search), *notes])
    lines += ["", counted(len(configs), "trial") + ("" if varying else ", with the values above")]
    if varying:
        rows = [varying, *([format_value(value_of(config, name)) for name in varying] for config in configs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(varying))]
        lines += [
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
    return "\n".join([*lines, *notes])


def search_lines(search: ProposalMaker) -> list[str]:
    """The parameters of a search and how it proceeds."""
    num_epochs = sorted({trial.config.epochs for trial in search.corners})
    each = f"{num_epochs[0]} to {num_epochs[-1]} epochs" if len(num_epochs) > 1 else counted(num_epochs[0], "epoch")
    seeds = f", {search.num_seeds} for each configuration," if search.num_seeds > 1 else ""
    trials = counted(search.num_trials * search.num_seeds, "trial")
    lines = [f"search: up to {trials}{seeds} of {each}, proposed one by one"]
    lines += [f"  {parameter.name:16} {_range(parameter)}" for parameter in search.parameters]
    lines += [f"  {f'{key} =':16} {text}" for key, text in search.derived]
    rows = {parameter.name: parameter.rows for parameter in search.parameters if parameter.rows}
    for point in search.first:
        given = {name: flow_text(rows[name][str(key)]) if name in rows else key for name, key in point.items()}
        lines.append(f"  {'first':16} {assignment_words(given)}")
    if search.drawn_at_random:
        lines.append(
            f"  {'at random':16} {', '.join(search.drawn_at_random)}: {search.search.algorithm} ignores them"
        )
    spec, scheduler = search.search, search.scheduler
    warm = "" if spec.warm_start is None else f", warm start from {spec.warm_start}"
    keys = [f"{key} {getattr(scheduler, key)}" for key in SCHEDULER_KEYS[scheduler.type]]
    objectives = " and ".join(f"{objective.goal} {objective.metric}" for objective in search.objectives)
    confirm = search.confirm
    lines += [
        "",
        f"  {'algorithm':16} {spec.algorithm}, seed {spec.seed}{warm}",
        f"  {'scheduler':16} {', '.join([scheduler.type, *keys])}",
        f"  {'objective':16} {objectives}",
    ]
    if confirm is not None:
        seeds = counted(confirm.repeats, "seed")
        lines.append(f"  {'confirm':16} the best {confirm.top}, {seeds} each, on all training images")
    return lines


def _range(parameter: SearchParameter) -> str:
    """The values of a parameter in words."""
    if parameter.choices is not None:
        text = ", ".join(format_value(choice) for choice in parameter.choices)
    else:
        is_int, step = parameter.kind == "int", parameter.step
        steps = "" if step is None or (is_int and step == 1) else f" in steps of {step:g}"
        text = f"{parameter.low:g} to {parameter.high:g}{steps}{', whole' * is_int}{', log' * parameter.log}"
    return text if parameter.when is None else f"{text}; when {parameter.when.text}"


def _is_shown(name: str, config: TrainConfig) -> bool:
    return name not in ("dataset_fingerprint", "recipe_version") and getattr(config, name) is not None
