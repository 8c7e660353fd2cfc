"""Example spaces and wrong values for docs/space-reference.md. All of them are loaded when the page is made."""

FIRST = """\
name: my_sweep
description: base learning rate and batch size, linear scaling rule
defaults: {model: resnet_preact_20, dataset: cifar10, epochs: 200, schedule: cosine}
rows:                                   # explicit combinations, and/or ...
  - {batch_size: 4096, base_lr: 0.05}
grid:                                   # ... all combinations of these values
  batch_size: [32, 128, 512]
  base_lr: [0.05, 0.1, 0.2]
derive:
  lr: base_lr * batch_size / 128
repeats: 3                              # seeds 0, 1 and 2: 30 trials
"""
PARTS = """\
defaults: {dataset: cifar10, epochs: 200}
parts:
  - {defaults: {batch_size: 4096}, grid: {lr: [3.2, 1.6, 0.8]}}
  - {defaults: {batch_size: 128}, grid: {lr: [0.2, 0.1, 0.05, 0.025]}}
"""
SCALES = """\
defaults: {model: resnet_preact_20, dataset: cifar10, epochs: 200}
grid: {batch_size: [32, 128], lr: [0.1]}
scales:
  smoke:                                # run SPACE --scale smoke
    set: {model: resnet_preact_8, dataset: digits}
    derive: {epochs: "max(1, round(epochs / 40))", batch_size: batch_size // 4}
"""
RESOURCES = """\
grid: {batch_size: [64, 512], lr: [0.1]}
resources: {cpus: 1, gpus: 0.25 if batch_size <= 128 else 1}
"""
SEARCH = """\
name: my_search
defaults: {model: resnet_preact_20, dataset: cifar10, epochs: 200}
search: {algorithm: tpe, num_trials: 40}
parameters:
  base_lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}
  batch_size: {values: [32, 64, 128]}
  momentum: {min: 0.8, max: 0.98, when: batch_size >= 64}     # elsewhere its default, 0.9
derive: {lr: base_lr * batch_size / 128}
scheduler: {type: asha, grace_epochs: 5, reduction_factor: 3}
objective: {metric: holdout_error_percent}
confirm: {top: 3, repeats: 3}
"""
POPULATION = """\
defaults: {dataset: cifar10, epochs: 10, schedule: constant}  # epochs of one generation
search: {algorithm: random, num_trials: 160}                  # 8 members, 20 generations
parameters:
  lr: {min: 1e-3, max: 1.0, distribution: log_uniform_values}
  weight_decay: {min: 1e-5, max: 1e-3, distribution: log_uniform_values}
scheduler: {type: pbt, population: 8, quantile: 0.25, perturb: [0.8, 1.2], resample_probability: 0.25}
"""
TWO_OBJECTIVES = """\
defaults: {dataset: cifar10}
search: {algorithm: tpe, num_trials: 40}
parameters:
  lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}
  epochs: {min: 25, max: 200, distribution: q_log_uniform_values, q: 1}
objective: [{metric: holdout_error_percent}, {metric: train_seconds}]
"""
EXPRESSIONS = (
    "base_lr * batch_size / 128",
    "0.1 * sqrt(batch_size / 128)",
    "max(1, round(epochs / 40))",
    "0.025 if batch_size == 32 else 0.1",
    "1e-4 if schedule == 'cosine' and epochs >= 200 else 5e-4",
)
WRONG_EXPRESSIONS = ("base_lr * batch_sise", "lr = 0.1", "abs(base_lr)", "schedule + base_lr", "base_lr / 0")

FIELD_BASE = {"rows": "rows: [{}]"}
PLAIN_BASE = {"rows": "rows: [{base_lr: 0.1}]", "derive": "derive: {lr: base_lr}"}
SEARCH_BASE = {
    "search": "search: {algorithm: tpe, num_trials: 20}",
    "parameters": "parameters: {lr: {min: 0.01, max: 1.0}}",
}
"""Valid spaces, a line for each top-level key. A wrong line replaces the one with its key."""

WRONG_VALUES: dict[str, dict[str, str]] = {
    "": {
        "name": "name: ../up",
        "description": "description: [1, 2]",
        "reference": "reference: main",
        "defaults": "defaults: {bach_size: 64}",
        "rows": "rows: []",
        "grid": "grid: {lr: 0.1}",
        "parts": "parts: [{defaults: {lr: 0.1}}]",
        "derive": "derive: {lr: bse_lr / 2}",
        "repeats": "repeats: 0",
        "scales": "scales: {smoke: {}}",
        "search": "search: {algorithm: tpe}",
        "parameters": "parameters: {seed: {min: 0, max: 9}}",
        "scheduler": "scheduler: asha",
        "objective": "objective: accuracy",
        "confirm": "confirm: 3",
        "resources": "resources: {gpu: 1}",
    },
    "grid": {"values": "grid: {lr: {values: []}}", "value": "grid: {lr: {value: 0.1, values: [0.1]}}"},
    "parts": {
        "defaults": "parts: [{defaults: 3, rows: [{lr: 0.1}]}]",
        "rows": "parts: [{rows: {lr: 0.1}}]",
        "grid": "parts: [{grid: {}}]",
    },
    "scales": {
        "set": "scales: {smoke: {set: {epoch: 1}}}",
        "derive": "scales: {smoke: {derive: {epochs: epoch / 40}}}",
        "search": "scales: {smoke: {search: {seed: 1}}}",
        "scheduler": "scales: {smoke: {scheduler: {grace_epochs: 1}}}",
        "confirm": "scales: {smoke: {confirm: {top: 1}}}",
    },
    "resources": {"cpus": "resources: {cpus: 0}", "gpus": "resources: {gpus: 1.5}"},
    "search": {
        "algorithm": "search: {algorithm: bayes, num_trials: 20}",
        "num_trials": "search: {algorithm: tpe, num_trials: 0}",
        "seed": "search: {algorithm: tpe, num_trials: 20, seed: -1}",
        "warm_start": "search: {algorithm: tpe, num_trials: 20, warm_start: 3}",
    },
    "parameters": {
        "values": "parameters: {lr: {values: [0.1]}}",
        "min": "parameters: {lr: {min: 1.0, max: 0.1}}",
        "max": "parameters: {lr: {min: 0.1}}",
        "distribution": "parameters: {lr: {min: 0, max: 1, distribution: log_uniform_values}}",
        "q": "parameters: {lr: {min: 0.1, max: 1.0, q: 0.1}}",
        "when": "parameters: {lr: {min: 0.1, max: 1.0, when: batch_size > 64}}",
    },
    "scheduler": {
        "type": "scheduler: {type: ahsa}",
        "grace_epochs": "scheduler: {type: asha, grace_epochs: 200}",
        "reduction_factor": "scheduler: {type: asha, reduction_factor: 1}",
        "brackets": "scheduler: {type: median, brackets: 2}",
        "min_trials": "scheduler: {type: median, min_trials: 0}",
        "population": "scheduler: {type: pbt, population: 1}",
        "quantile": "scheduler: {type: pbt, quantile: 0.6}",
        "perturb": "scheduler: {type: pbt, perturb: [0]}",
        "resample_probability": "scheduler: {type: pbt, resample_probability: 2}",
    },
    "objective": {
        "metric": "objective: {metric: test_error_percent}",
        "goal": "objective: {metric: holdout_loss, goal: maximize}",
    },
    "confirm": {"top": "confirm: {top: 0}", "repeats": "confirm: {top: 3, repeats: 0}"},
}
"""Section -> key -> a line in which this key is wrong."""
WRONG_FIELDS = {
    "model": "defaults: {model: resnet_19}",
    "dataset": "defaults: {dataset: 10}",
    "train_subset": "defaults: {train_subset: 0}",
    "test_subset": "defaults: {test_subset: all}",
    "holdout": "defaults: {holdout: 0.6}",
    "epochs": "defaults: {epochs: 0}",
    "batch_size": "defaults: {batch_size: 1}",
    "lr": "defaults: {lr: 0}",
    "schedule": "defaults: {schedule: cosin}",
    "milestones": "defaults: {schedule: multistep, milestones: [0.75, 0.5]}",
    "lr_min_factor": "defaults: {lr_min_factor: 2}",
    "momentum": "defaults: {momentum: 1}",
    "nesterov": "defaults: {nesterov: 1}",
    "weight_decay": "defaults: {weight_decay: -1e-4}",
    "augmentation": "defaults: {augmentation: flip}",
    "precision": "defaults: {precision: fp8}",
    "seed": "defaults: {seed: -1}",
}
