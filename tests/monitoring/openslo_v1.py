"""OpenSLO v1, written from its specification: what a document may and has to have.

Only the kinds and the choices that ours could make; a field that is not known is an error. Source:
https://github.com/OpenSLO/OpenSLO and the rules of its Go SDK.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Description = Annotated[str, StringConstraints(max_length=1050)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[mhdwMQY]$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(_Strict):
    """Names follow RFC 1123."""

    name: Name
    displayName: DisplayName | None = None


class ServiceSpec(_Strict):
    """What a service is."""

    description: Description | None = None


class Service(_Strict):
    """What objectives belong to."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class MetricSource(_Strict):
    """Where a number comes from; what `spec` holds is up to the type."""

    metricSourceRef: Name | None = None
    type: str | None = None
    spec: Annotated[dict[str, Any], Field(min_length=1)]


class Metric(_Strict):
    """A number."""

    metricSource: MetricSource


class RatioMetric(_Strict):
    """Good or bad events of all."""

    counter: bool
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric

    @model_validator(mode="after")
    def _one_of_good_and_bad(self) -> "RatioMetric":
        if (self.good is None) == (self.bad is None):
            raise ValueError("either good or bad")
        return self


class IndicatorSpec(_Strict):
    """How an indicator is measured."""

    description: Description | None = None
    ratioMetric: RatioMetric


class Indicator(_Strict):
    """An indicator inside of an objective."""

    metadata: Metadata
    spec: IndicatorSpec


class TimeWindow(_Strict):
    """A rolling window."""

    duration: Duration
    isRolling: Literal[True]


class Target(_Strict):
    """The share that shall be good."""

    displayName: DisplayName | None = None
    target: Annotated[float, Field(ge=0, lt=1)]


class TargetSpec(_Strict):
    """Whom an alert reaches, and how."""

    target: Annotated[str, StringConstraints(min_length=1)]
    description: Description | None = None


class NotificationTarget(_Strict):
    """Whom an alert reaches, as a document."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["AlertNotificationTarget"]
    metadata: Metadata
    spec: TargetSpec


class TargetRef(_Strict):
    """The name of whom an alert reaches."""

    targetRef: Name


class Condition(_Strict):
    """How fast a budget burns."""

    kind: Literal["burnrate"]
    op: Literal["lte", "gte", "lt", "gt"]
    threshold: float
    lookbackWindow: Duration
    alertAfter: Duration | None = None


class AlertConditionSpec(_Strict):
    """A condition and its severity."""

    severity: Annotated[str, StringConstraints(min_length=1)]
    condition: Condition
    description: Description | None = None


class AlertCondition(_Strict):
    """A condition inside of a policy."""

    kind: Literal["AlertCondition"]
    metadata: Metadata
    spec: AlertConditionSpec


class AlertPolicySpec(_Strict):
    """When to tell, and of what: exactly one condition."""

    description: Description | None = None
    alertWhenNoData: bool = False
    alertWhenBreaching: bool = False
    alertWhenResolved: bool = False
    conditions: Annotated[list[AlertCondition], Field(min_length=1, max_length=1)]
    notificationTargets: Annotated[list[TargetRef], Field(min_length=1)]


class AlertPolicy(_Strict):
    """A policy inside of an objective."""

    kind: Literal["AlertPolicy"]
    metadata: Metadata
    spec: AlertPolicySpec


class SloSpec(_Strict):
    """An objective."""

    description: Description | None = None
    service: Name
    indicator: Indicator
    timeWindow: Annotated[list[TimeWindow], Field(min_length=1, max_length=1)]
    budgetingMethod: Literal["Occurrences"]
    objectives: Annotated[list[Target], Field(min_length=1)]
    alertPolicies: list[AlertPolicy] = []


class Slo(_Strict):
    """An objective, as a document."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec


Document = Service | NotificationTarget | Slo
DOCUMENT: TypeAdapter[Document] = TypeAdapter(Annotated[Document, Field(discriminator="kind")])
