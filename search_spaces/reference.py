"""The page docs/space-reference.md, made from the schema of a space and the fields of a training.

Descriptions are the docstrings of the schema and of TrainConfig; error messages come from loading wrong spaces.
"""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from search_spaces import reference_examples as examples
from search_spaces.expansion import expand
from search_spaces.expressions import FUNCTIONS, MAX_EXPONENT, MAX_LENGTH
from search_spaces.loader import load_space
from search_spaces.proposals import DEFAULT_HOLDOUT
from search_spaces.resources import ResourceRule
from search_spaces.schema import SEARCH_SECTIONS, SECTIONS, Parameter, Part, Scale, Space, Values
from search_spaces.search_checks import NO_PARAMETERS, SAME_IN_POPULATION
from trainable.config import FIELD_NAMES, SETTABLE_FIELDS, TrainConfig, field_kind
from trainable.docstrings import field_docstrings
from trainable.errors import UserError
from trainable.sweep_name import SWEEP_NAME_RULE

FILE_NAME = "my.yaml"
MODELS: dict[str, type[BaseModel]] = {
    "": Space,
    "grid": Values,
    "parts": Part,
    "scales": Scale,
    **SECTIONS,
    "parameters": Parameter,
}
"""Section -> the model of its keys; the top level has no name."""
PLAIN_WORDS = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}
KIND_WORDS = {
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "word",
    "tuple[float, ...]": "list of numbers",
}
"""Types of training fields in words."""
BOUND_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
"""Keys of JSON schema in words."""


def markdown() -> str:
    """The whole text of docs/space-reference.md."""
    chapters = [
        _introduction(),
        _section("", "## Keys of a space"),
        _grid_and_parts(),
        _scales(),
        _resources(),
        _search(),
        _schedulers_and_objectives(),
        _training_fields(),
        _expressions(),
    ]
    return "\n\n".join(chapters) + "\n"


def message_of(text: str) -> str:
    """The error of a wrong space, or an empty text if the space is valid. The file is called my.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(text, encoding="utf-8")
        try:
            loaded = load_space(str(path))
            for trial in expand(loaded, {}).trials:
                ResourceRule(loaded).share(trial, default_gpus=1.0)
        except UserError as error:
            return str(error).replace(str(path), FILE_NAME)
    return ""


def _introduction() -> str:
    return f"""# The space file

<!-- Made by `python docs/generate.py`. Change search_spaces/ instead of this page. -->

A space is a YAML file that declares the trials of a sweep, or a search that proposes them. `run`, `plan` and `spaces`
take the name of a shipped space or the path of a file that ends in .yaml or .yml.

{_yaml(examples.FIRST)}

- A key of `defaults`, `rows` and `grid` is a [training field](#training-fields), or a name that an expression of
  `derive` uses (`base_lr` above). Such a name is not a field of the training; its value is kept in the column
  `variables`.
- `rows` and `grid` can stand together: first come the rows, then all combinations of the grid, then the `parts`.
  Equal trials are trained once.
- `--set KEY=VALUE` replaces the value of a training field, or of a name that `derive` uses, in all trials.
- Unknown keys are errors. Every error is one line with file, line and key, and the exit code is 2:

```
{message_of("rows:" + chr(10) + "  - {bach_size: 64}" + chr(10))}
```"""


def _grid_and_parts() -> str:
    return f"""{_section("grid", "## Long form of `grid`")}

{_section("parts", "## Keys of `parts`")}

{_yaml(examples.PARTS)}"""


def _scales() -> str:
    return f"""{_section("scales", "## Keys of `scales`")}

{_yaml(examples.SCALES)}

- The sweep of a scaled space is called `NAME-SCALE`. `--set` applies after the scale.
- A scaled trial keeps its learning rate unless the scale changes it. The column `variables` records the model, the
  epochs and the batch size of the full-scale trial (`published_model`, `published_epochs`, `published_batch_size`).
- A scale may change `num_trials` of `search`, the whole numbers of `scheduler`, and both keys of `confirm`."""


def _resources() -> str:
    return f"""{_section("resources", "## Keys of `resources`")}

{_yaml(examples.RESOURCES)}

- `--cpus-per-trial` and `--gpus-per-trial` replace these values.
- A trial that no node of the cluster could run is refused before anything starts. So is a share of a GPU whose memory
  is known to be too small for the training. The column `gpus` holds what a trial was given."""


def _search() -> str:
    refused = "\n".join(f"  - `{name}`: {reason}." for name, reason in NO_PARAMETERS.items())
    return f"""{_section("search", "## Keys of `search`")}

{_yaml(examples.SEARCH)}

- random, tpe, gp, cmaes and qmc are Optuna's samplers.
- `num_trials` may grow and `confirm` may change after a search has begun: the search then continues. With other
  changes it is another search and needs another `--name`.
- `holdout` is {DEFAULT_HOLDOUT:g} by default: this fraction of the training images is held out and guides the search.
  Test images never do.
- gp and cmaes cannot have a scheduler, because they learn nothing from stopped trials. gp draws parameters with
  `when` at random; cmaes draws those with `when` or `values` at random. `spaces FILE` lists them.
- `warm_start` uses finished trials of the same model that have a value of every parameter and objective, inside the
  declared ranges. `published` stands for the published tables: their test errors take the place of held-out errors,
  for `holdout_error_percent` alone, over `lr`, `base_lr`, `batch_size`, `epochs` and `schedule`. grid, random and
  qmc learn nothing from earlier results. A warm start changes the draws, so that a search does not repeat an earlier
  one with the same seed.

{_section("parameters", "## Keys of a parameter")}

- A parameter with `values` needs at least two of them, or one and a `when`.
- A parameter has a value in `defaults` only if it has a `when`. A parameter cannot be derived as well.
- `--set` takes a parameter out of the search.
- These training fields cannot be parameters:
{refused}"""


def _schedulers_and_objectives() -> str:
    equal = ", ".join(f"`{name}`" for name in SAME_IN_POPULATION)
    return f"""{_section("scheduler", "## Keys of `scheduler`")}

- hyperband is asynchronous: ASHA with several brackets. A bracket whose first rung is after the last epoch stops no
  trial.
- With pbt (population based training), a trial is one generation of one member, and `epochs` are those of one
  generation. `num_trials` is the population times the number of generations. The algorithm must be random or qmc, and
  the `schedule` constant. The fields {equal} must be equal in all trials.
  There is no `confirm`.

{_yaml(examples.POPULATION)}

{_section("objective", "## Keys of `objective`")}

- Two objectives need another algorithm than cmaes, and no scheduler.

{_yaml(examples.TWO_OBJECTIVES)}

{_section("confirm", "## Keys of `confirm`")}

- Without `confirm`, nothing is trained again, and the results of the search itself are reported."""


def _training_fields() -> str:
    described = field_docstrings(TrainConfig)
    defaults = {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
    rows = [
        (f"`{name}`", KIND_WORDS[str(field_kind(name))], _default(defaults[name]), described[name])
        for name in SETTABLE_FIELDS
    ]
    lines = [examples.WRONG_FIELDS[name] for name in SETTABLE_FIELDS]
    wrong = [(line, message_of(_space_text(examples.FIELD_BASE, line))) for line in lines]
    found = [(f"`{name}`", described[name]) for name in FIELD_NAMES if name not in SETTABLE_FIELDS]
    return f"""## Training fields

A training field is a key of `defaults`, `rows`, `grid`, `set` and `parameters`, a key of `--set`, and a column of the
results. The training fields decide the key of a trial: trials with equal fields are the same trial. None in the
table is written `null` in YAML.

{_table(("field", "type", "default", "meaning"), rows)}

{_wrong_values(wrong)}

The program sets these fields itself; they cannot be given:

{_table(("field", "meaning"), found)}"""


def _expressions() -> str:
    lines = [f"derive: {{lr: {text}}}" for text in examples.WRONG_EXPRESSIONS]
    wrong = [(line, message_of(_space_text(examples.PLAIN_BASE, line))) for line in lines]
    return f"""## Expressions

`derive`, `when` and `resources` hold expressions. An expression is a number, a name, or is made of:

{
        _table(
            ("form", "meaning"),
            [
                ("`a + b`, `a - b`, `a * b`, `a / b`", "arithmetic"),
                ("`a // b`, `a % b`", "whole part and remainder of a division"),
                ("`a ** b`", f"power; the exponent is at most {MAX_EXPONENT} in size"),
                ("`a < b`, `<=`, `>`, `>=`, `==`, `!=`", "comparison; true is 1, false is 0"),
                ("`a if c else b`", "`a` where `c` is true, else `b`"),
                ("`a and b`, `a or b`, `not a`", "logic"),
                (
                    ", ".join(f"`{name}(...)`" for name in FUNCTIONS),
                    "functions; `round` and `int` give a whole number",
                ),
                ("`schedule == 'cosine'`", "words, in quotes, can only be compared by `==` and `!=`"),
            ],
        )
    }

- In `derive`, the names are training fields and other keys of the space. An expression may use other derived fields.
- In `when`, the names are parameters above the one with the condition.
- In `resources`, the names are training fields and the names that `derive` uses.
- In the `derive` of a scale, the names stand for the full-scale values.
- An expression has at most {MAX_LENGTH} characters. YAML needs quotes around one that contains `: ` or a comma inside
  `{{...}}`.

Examples:

{chr(10).join(f"- `{text}`" for text in examples.EXPRESSIONS)}

{_wrong_values(wrong)}"""


def _section(section: str, heading: str) -> str:
    """The description of a section, a table of its keys, and one of wrong values."""
    model = MODELS[section]
    described = field_docstrings(model)
    properties: Mapping[str, Any] = model.model_json_schema()["properties"]
    rows = [
        (f"`{key}`", _type_words(properties[key]), _key_default(spec.get_default()), described[key])
        for key, spec in model.model_fields.items()
    ]
    wrong = [(line, _message(section, line)) for line in (examples.WRONG_VALUES[section][key] for key in described)]
    return f"""{heading}

{" ".join(str(model.__doc__).split())}

{_table(("key", "type", "default", "meaning"), rows)}

{_wrong_values(wrong)}"""


def _message(section: str, line: str) -> str:
    is_search = not {section, line.partition(":")[0]}.isdisjoint({"parameters", *SEARCH_SECTIONS})
    return message_of(_space_text(examples.SEARCH_BASE if is_search else examples.PLAIN_BASE, line))


def _space_text(base: Mapping[str, str], line: str) -> str:
    """A valid space with one wrong line, which comes first."""
    key = line.partition(":")[0]
    return "\n".join([line, *(valid for other, valid in base.items() if other != key)]) + "\n"


def _wrong_values(wrong: Sequence[tuple[str, str]]) -> str:
    for line, message in wrong:
        if not message:
            raise ValueError(f"not wrong: {line}")
    return "Wrong values and their errors:\n\n" + _table(
        ("wrong", "error"), [(f"`{line}`", f"`{message}`") for line, message in wrong]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, [":--"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _yaml(text: str) -> str:
    return f"```yaml\n{text}```"


def _key_default(value: object) -> str:
    return "required" if value is PydanticUndefined else _default(value)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value in (None, "", {}, []) else f"`{value}`"


def _type_words(schema: Mapping[str, Any], plural: str = "") -> str:
    """A JSON schema in words, or in the plural if `plural` is "s"."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    kinds = [branch.get("type") for branch in branches]
    if {*kinds} >= {*PLAIN_WORDS}:
        return f"value{plural}" if "array" in kinds else f"number{plural}, word{plural}, true or false"
    if branches:
        branches = [branch for branch in branches if branch.get("type") != "integer" or "number" not in kinds]
        return " or ".join(_type_words(branch, plural) for branch in branches)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{choice}`" for choice in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list{plural} of {_type_words(schema['items'], 's')}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping{plural} of keys to {_type_words(schema['additionalProperties'], 's')}"
    if "pattern" in schema:
        return f"name ({SWEEP_NAME_RULE})"
    if "$ref" in schema or schema.get("type") == "object":
        return f"mapping{plural}"
    bounds = [f", {words} {schema[key]}" for key, words in BOUND_WORDS.items() if key in schema]
    return f"{PLAIN_WORDS[schema['type']]}{plural}{''.join(bounds)}"
