"""The page of conditions and their reasons, derived from the code."""

from gptfl.spec.status import ConditionType
from gptfl_operator.reasons import MEANING

_CONDITIONS = {
    ConditionType.ACCEPTED: "The spec is right, and what it names is in the cluster.",
    ConditionType.GENERATED: "The synthetic data set is in the store; prompts are a part of it.",
    ConditionType.PRETRAINED: "The first weights are in the store.",
    ConditionType.FEDERATED: "The final weights, and those of the controls, are in the store.",
    ConditionType.EVALUATED: "The scores are in the store.",
    ConditionType.PUBLISHED: "The run's model answers at the endpoint; the export is a part of it.",
    ConditionType.COMPLETE: "Nothing is left to do.",
    ConditionType.FAILED: "Something has failed for good, and the run does not go on by itself.",
    ConditionType.SUSPENDED: "The run rests, as `spec.suspend` says.",
}

INTRODUCTION = """\
# Conditions of a run

<!-- Derived from operators/gptfl_operator by `make generate`; change the code, not this. -->

All are there from the operator's first visit. `Unknown` means that it is too early to tell, `False`
that it is not so yet, or not any more. The message is a sentence for people; tools go by the
reason.

```
kubectl wait gptfl/digits --for=condition=Complete --timeout=1h
kubectl get gptfl digits -o jsonpath='{.status.conditions[?(@.type=="Failed")].message}'
```
"""


def conditions_page() -> str:
    """`docs/reference/conditions.md`."""
    conditions = [f"| `{kind.value}` | {words} |" for kind, words in _CONDITIONS.items()]
    reasons = [f"| `{reason.value}` | {words} |" for reason, words in MEANING.items()]
    return "\n".join(
        [
            INTRODUCTION,
            *("| condition | true when |", "| --- | --- |", *conditions, ""),
            *("## Reasons", "", "| reason | meaning |", "| --- | --- |", *reasons, ""),
        ]
    )
