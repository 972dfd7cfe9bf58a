"""Commands on what the server has: trainables, cluster."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from searchd.cli.options import Output
from searchd.cli.output import show, width
from searchd.client import Client, Cluster, ServerInfo, Trainable
from searchd.client.grid import Column, grid
from searchd.client.numbers import number, one_line, parameter
from searchd.domain.space import Choice, Condition, Domain, shorthand_name


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trainables")(trainables)
    app.command("cluster")(cluster)


def trainables(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="show the card of this one")] = None,
    output: Output = None,
) -> None:
    """List what can be tuned, or show one trainable's parameters, defaults and metrics."""
    with Client() as client:
        if name is not None:
            card = client.trainable(name)
            show(output, card.to_dict, lambda: _card_lines(card))
        else:
            cards = client.trainables()
            show(output, lambda: {"trainables": [c.to_dict() for c in cards]}, lambda: _list_lines(cards))


def cluster(output: Output = None) -> None:
    """Show the server and what keeps it from its work, nodes, workers and who uses them."""
    with Client() as client:
        server = client.server_info()
        found = client.cluster()
        show(
            output,
            lambda: {"server": server.to_dict(), **found.to_dict()},
            lambda: [*_server_lines(server), "", *_cluster_lines(found)],
        )


def _list_lines(cards: Sequence[Trainable]) -> list[str]:
    columns = [
        Column("trainable"),
        Column("metrics", cut=True),
        Column("folds"),
        Column("pauses"),
        Column("description", cut=True),
    ]
    rows = [[c.name, ", ".join(c.metrics) or "any", _yes(c.folds), _yes(c.checkpoints), c.description] for c in cards]
    return grid(columns, rows, width())


def _card_lines(card: Trainable) -> list[str]:
    metrics = ", ".join(f"{name} ({goal})" for name, goal in card.metrics.items()) or "any"
    lines = [f"{card.name}   code {card.code}", *([card.description] if card.description else [])]
    lines += [f"metrics: {metrics}"]
    lines += [f"gradients: {', '.join(card.gradients)}"] if card.gradients else []
    lines += [f"folds: {_yes(card.folds)}   can be paused: {_yes(card.checkpoints)}", ""]
    columns = [Column("parameter"), Column("default", right=True), Column("space", cut=True), Column("when", cut=True)]
    default = card.default or {}
    rows = [
        [
            p.name,
            parameter(default[p.name]) if p.name in default else "-",
            _domain(p.domain),
            _conditions(p.when),
        ]
        for p in card.space.parameters
    ]
    return [*lines, *grid(columns, rows, width())]


def _domain(domain: Domain) -> str:
    match domain:
        case Choice():
            values: list[Any] = list(domain.options)
        case _:
            values = [domain.low, domain.high]
            step = domain.step
            if step is not None and (domain.kind == "float" or step != 1):
                values.append(step)
    return f"{shorthand_name(domain)}: [{', '.join(map(parameter, values))}]"


def _conditions(conditions: Sequence[Condition]) -> str:
    return " and ".join(f"{c.parameter}: [{', '.join(map(parameter, c.values))}]" for c in conditions)


def _server_lines(server: ServerInfo) -> list[str]:
    parts = [server.role or "server", f"searchd {server.version}"]
    if server.epoch:
        parts.append(f"epoch {server.epoch}")
    if server.role == "standby":
        parts.append(f"leader at {server.leader}" if server.leader else "nobody leads")
    return ["   ".join(parts), *(f"problem: {one_line(problem)}" for problem in server.problems)]


def _cluster_lines(found: Cluster) -> list[str]:
    nodes = grid(
        [Column("node", cut=True), Column("CPUs", right=True), Column("GPUs", right=True)],
        [[n.name, number(n.cpus), number(n.gpus)] for n in found.nodes],
        width(),
    )
    pools = grid(
        [
            Column("workers of code"),
            Column("CPUs", right=True),
            Column("GPUs", right=True),
            Column("starting", right=True),
            Column("idle", right=True),
            Column("busy", right=True),
        ],
        [[p.code, number(p.cpus), number(p.gpus), str(p.starting), str(p.idle), str(p.busy)] for p in found.pools],
        width(),
    )
    studies = grid(
        [Column("study", cut=True), Column("busy", right=True), Column("could use more")],
        [[s.name, str(s.busy), _yes(s.waiting)] for s in found.studies],
        width(),
    )
    blocks = [nodes, *([pools] if found.pools else []), *([studies] if found.studies else [])]
    return [line for i, block in enumerate(blocks) for line in (["", *block] if i else block)]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
