"""How close a policy's value is told from what another policy logged (`bandit_sim_logs`, `bandit_sim_truth`)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.evaluation import Evaluation, Goal, Row, read_rows
from bench.offpolicy import ValueEstimate, policy_value, values_together

GOALS: Final = {"rmse": Goal(most=0.03), "coverage": Goal(least=0.90)}


@dataclass(frozen=True)
class DescribedWeakness:
    """What was told of one policy on one dataset, from its own log alone too, and the plain estimators beside it."""

    dataset: str
    policy: str
    value: ValueEstimate
    alone: ValueEstimate
    ips: float
    snips: float


def evaluate(data: Path) -> Evaluation:
    """Return the value told of each policy on each dataset; where truths are given, errors and interval coverage.

    A policy's values on all datasets are told together, as the product would for many agents; figures that begin with
    `alone_` are from a dataset's own log. That datasets may be logs of the same units is not used, nor are their names.
    `ips` is inverse propensity weighting, `snips` the same divided by the mean weight.
    """
    result = Evaluation("effect", goals=GOALS)
    rows = read_rows(data, "bandit_sim_logs")
    if not rows:
        result.missing.append("bandit_sim_logs")
        return result
    told = _together([one for dataset, log in _by_dataset(rows).items() for one in _told(dataset, log)])
    result.predictions = [
        {
            "dataset": one.dataset,
            "policy": one.policy,
            "estimate": one.value.estimate,
            "low": one.value.low,
            "high": one.value.high,
        }
        for one in told
    ]
    truths = {row["id"]: row["true_value"] for row in read_rows(data, "bandit_sim_truth") if row.get("true_value")}
    known = [(one, float(truths[one.dataset][one.policy])) for one in told if one.dataset in truths]
    if known:
        result.metrics = _figures(known)
        for policy in dict.fromkeys(one.policy for one in told):
            result.sets[policy] = _figures([pair for pair in known if pair[0].policy == policy])
    return result


def _by_dataset(rows: Iterable[Row]) -> dict[str, list[Row]]:
    logs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        logs[row["dataset"]].append(row)
    return logs


def _told(dataset: str, log: list[Row]) -> list[DescribedWeakness]:
    rewards = [float(row["reward"]) for row in log]
    logged = [float(row["propensity"]) for row in log]
    policies = {name: [float(row["target_prob"][name]) for row in log] for name in log[0]["target_prob"]}
    told: list[DescribedWeakness] = []
    for name, target in policies.items():
        others = [probabilities for other, probabilities in policies.items() if other != name]
        weights = [one / p for one, p in zip(target, logged, strict=True)]
        total = sum(weight * reward for weight, reward in zip(weights, rewards, strict=True))
        value = policy_value(rewards, logged, target, others)
        told.append(DescribedWeakness(dataset, name, value, value, ips=total / len(log), snips=total / sum(weights)))
    return told


def _together(told: list[DescribedWeakness]) -> list[DescribedWeakness]:
    """Return the same with each policy's values told together over the datasets."""
    found: dict[tuple[str, str], ValueEstimate] = {}
    for policy in dict.fromkeys(one.policy for one in told):
        likes = [one for one in told if one.policy == policy]
        values = values_together([one.alone for one in likes])
        found |= {(one.dataset, policy): value for one, value in zip(likes, values, strict=True)}
    return [replace(one, value=found[one.dataset, one.policy]) for one in told]


def _figures(known: Sequence[tuple[DescribedWeakness, float]]) -> dict[str, float]:
    return {
        "rmse": _rmse(one.value.estimate - truth for one, truth in known),
        "coverage": sum(one.value.low <= truth <= one.value.high for one, truth in known) / len(known),
        "width": sum(one.value.high - one.value.low for one, _ in known) / len(known),
        "alone_rmse": _rmse(one.alone.estimate - truth for one, truth in known),
        "alone_coverage": sum(one.alone.low <= truth <= one.alone.high for one, truth in known) / len(known),
        "ips_rmse": _rmse(one.ips - truth for one, truth in known),
        "snips_rmse": _rmse(one.snips - truth for one, truth in known),
    }


def _rmse(errors: Iterable[float]) -> float:
    squares = [error * error for error in errors]
    return (sum(squares) / len(squares)) ** 0.5
