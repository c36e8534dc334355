"""Expressions that several rules are made of."""

from typing import Final

from routecache_exporters.pack.config import Config

_WIDTH: Final = 84


def series(name: str, matchers: str = "") -> str:
    """One of our metrics, by its name without the prefix."""
    return f"routecache_{name}" + (f"{{{matchers}}}" if matchers else "")


def summed(config: Config, inner: str, *labels: str) -> str:
    """The sum of `inner` over the replicas."""
    return aggregated("sum", config, inner, *labels)


def aggregated(operator: str, config: Config, inner: str, *labels: str) -> str:
    """`inner` over the replicas, by ours and `labels`; in three lines if it is long."""
    head = f"{operator} by ({config.by(*labels)})"
    line = f"{head} ({inner})"
    if len(line) <= _WIDTH and "\n" not in inner:
        return line
    return f"{head} (\n{indented(inner)}\n)"


def rate(config: Config, window: str, name: str, *labels: str, where: str = "") -> str:
    """Events per second over `window`, summed over the replicas."""
    return summed(config, f"rate({series(name, where)}[{window}])", *labels)


def divided(numerator: str, denominator: str) -> str:
    """A ratio; where the denominator is 0 there is none, instead of NaN."""
    if "\n" in denominator:
        return f"{numerator}\n/\n(\n{indented(denominator)}\n  > 0\n)"
    return f"{numerator}\n/\n({denominator} > 0)"


def both(*conditions: str) -> str:
    """All of the conditions, on equal labels."""
    return "\nand\n".join(conditions)


def in_parentheses(expression: str) -> str:
    """An expression as an operand."""
    return f"(\n{indented(expression)}\n)"


def indented(expression: str) -> str:
    """Two more spaces before each line."""
    return "\n".join(f"  {line}" for line in expression.splitlines())


def number(value: float) -> str:
    """A number as Prometheus reads it, without digits that say nothing."""
    return f"{value:.10g}"


def percent(share: float) -> str:
    """A share in words."""
    return f"{share * 100:.10g}%"
