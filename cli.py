"""The `chctl` command: one function a command, no logic; what a command does stands in chctl/ and feeders/.

Imports of heavy parts stand inside the functions, so that `chctl --help` stays instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Watch a crypto venue from one ClickHouse node: Kafka in, versioned SQL, metrics and alerts out.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals may hold secrets
)
feed = typer.Typer(help="Run a feeder: what SQL cannot do, as a small process.", no_args_is_help=True)
app.add_typer(feed, name="feed")


# --- node -------------------------------------------------------------------------------------------------------------


@app.command()
def node(
    data_dir: Annotated[Path | None, typer.Option(help="Data folder; one node at a time. [default: .chctl]")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback CHCTL_NODE_PASSWORD must be set.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port of the ClickHouse HTTP interface; 0 takes a free one.")] = 8123,
    broker_port: Annotated[
        int | None, typer.Option(help="Port of the embedded broker; 0 takes a free one. [default: as before, or 9092]")
    ] = None,
    brokers: Annotated[str, typer.Option(help="Use these Kafka brokers (host:port,...) and start none.")] = "",
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS with this certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    discard_broker: Annotated[
        bool, typer.Option("--discard-broker", help="End a broker left on the folder, drop its messages, and exit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ready line as JSON.")] = False,
) -> None:
    """Run ClickHouse and a Kafka broker on this machine, with nothing to install.

    The node opens ClickHouse (chDB) on the data folder, starts a broker beside it and serves ClickHouse's HTTP
    interface; stop it with Ctrl-C or SIGTERM. It prints one line when it is ready:

    ```
    chctl node &
    curl 'http://127.0.0.1:8123/?query=SELECT+version()'
    ```

    The broker keeps messages in memory: it outlives a crash of the node, and a stop of the node while messages are
    unread; the next start on the same folder goes on with it.
    """
    from chctl import logs
    from chctl.node import broker, run
    from chctl.node.engine import FolderLocked
    from chctl.settings import settings

    logs.configure(settings(), "chctl-node")
    folder = data_dir or settings().data_dir
    if discard_broker:
        typer.echo("broker ended" if broker.stop(folder.resolve()) else "no broker on this folder", err=True)
        return
    options = run.Options(folder, host, port, broker_port, brokers, tls_cert, tls_key, as_json)
    try:
        run.serve(options, settings())
    except (run.NodeError, broker.BrokerError, FolderLocked) as error:
        typer.echo(f"chctl node: {error}", err=True)
        raise typer.Exit(1) from None
    run.leave()


@app.command()
def demo(
    seconds: Annotated[float, typer.Option("--for", help="Seconds to feed; 0 plays a recording to its end.")] = 55,
    capture: Annotated[Path | None, typer.Option(help="Play this recording instead of the simulated venue.")] = None,
    venue: Annotated[str, typer.Option(help="Whose recording it is.")] = "binance",
    symbol: Annotated[str, typer.Option(help="Book of an inline REST snapshot in the recording.")] = "BTCUSDT",
    speed: Annotated[str, typer.Option(help="Pace: 1 as recorded, N times as fast, or max.")] = "1",
    incident_at: Annotated[
        float | None, typer.Option(help="Write over the recording: depth pulled for 5 s, this many seconds in.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated venue; the same seed is the same market.")] = 1,
    json_: Annotated[bool, typer.Option("--json", help="The ledger as one JSON object on stdout.")] = False,
) -> None:
    """Show the whole path on this machine: feed, Kafka, SQL, rollups, an alert, a signed webhook.

    Starts a node and a broker of its own in a temporary folder, streams a market through them, and ends with a ledger.
    Exit code 0 only if the ledger balances. With a recording:

    ```
    chctl demo --capture capture.jsonl.gz --speed max --for 0 --incident-at 120
    ```
    """
    import json

    from rich.console import Console

    from chctl import logs
    from chctl.demo import run
    from chctl.settings import settings

    logs.configure(settings().model_copy(update={"log_level": "WARNING"}))  # the screen tells the rest
    pace = 0.0 if speed == "max" else float(speed)
    options = run.Options(seconds, capture, venue, symbol, pace, incident_at, seed)
    try:
        ledger = run.run(options, Console(stderr=json_))
    except (ValueError, RuntimeError, OSError) as error:
        raise _fail(error) from None
    if json_:
        typer.echo(json.dumps(ledger.to_dict()))
    else:
        Console().print(ledger.table())
    raise typer.Exit(0 if ledger.balances else 1)


# --- topics and contracts ---------------------------------------------------------------------------------------------


contracts = typer.Typer(help="What a topic's rows may hold, and the SQL made from it.", no_args_is_help=True)
app.add_typer(contracts, name="contracts")


@contracts.command("render")
def contracts_render(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where a file is out of date.")] = False,
) -> None:
    """Write the ingest SQL of every topic from contracts/*.yaml and templates/ingest/.

    The files are committed: change a contract, render, read the diff, then `chctl migrate`.
    """
    from chctl.contracts import ContractError, load_all
    from chctl.render import stale, write
    from chctl.settings import settings

    project = settings().project_dir
    try:
        loaded = load_all(project / "contracts")
        changed = stale(loaded, project) if check else write(loaded, project)
    except ContractError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    for path in changed:
        typer.echo(path)
    if check and changed:
        typer.echo("out of date: run `chctl contracts render` and commit what it writes", err=True)
        raise typer.Exit(1)


topics = typer.Typer(help="Bring the broker's topics to what contracts/*.yaml say.", no_args_is_help=True)
app.add_typer(topics, name="topics")


@topics.command("plan")
def topics_plan(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """Show what `chctl topics apply` would do; changes nothing.

    Exit code 0: nothing to do, 2: there are changes, 1: something is refused or failed.
    """
    from chctl import topics as t
    from chctl.contracts import ContractError, load_all
    from chctl.settings import settings

    try:
        plan = t.read(settings(), load_all(settings().project_dir / "contracts"))
    except (t.TopicsError, ContractError) as error:
        raise _fail(error) from None
    typer.echo(plan.to_json() if json_ else t.show(plan))
    raise typer.Exit(plan.exit_code)


@topics.command("apply")
def topics_apply() -> None:
    """Create missing topics, alter configurations, add partitions. Deletes and shrinks nothing; safe to repeat."""
    from chctl import topics as t
    from chctl.contracts import ContractError, load_all
    from chctl.settings import settings

    try:
        plan = t.read(settings(), load_all(settings().project_dir / "contracts"))
        t.apply(settings(), plan)
    except (t.TopicsError, ContractError) as error:
        raise _fail(error) from None
    typer.echo(t.show(plan))


@topics.command("status")
def topics_status(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """Show each topic beside its contract: partitions, retention, cleanup policy."""
    from chctl import topics as t
    from chctl.contracts import ContractError, load_all
    from chctl.settings import settings

    try:
        contracts = load_all(settings().project_dir / "contracts")
        plan = t.read(settings(), contracts)
    except (t.TopicsError, ContractError) as error:
        raise _fail(error) from None
    typer.echo(plan.to_json() if json_ else t.table(plan, contracts))


@contracts.command("check")
def contracts_check(
    topic: Annotated[str, typer.Argument(help="Topic whose contract the rows must keep.")],
    rows: Annotated[typer.FileBinaryRead, typer.Argument(help="File of JSON rows, one a line; - is stdin.")] = "-",  # type: ignore[assignment]
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a rejected line.")] = False,
) -> None:
    """Say which rows the node would reject, and why, before they are sent.

    Prints `line: reason` for the first breach of each line, as rejected_events would name it; exit 1 where there is
    one, 2 for an unknown topic.
    """
    import json

    from chctl.contracts import ContractError, load_all
    from chctl.settings import settings

    try:
        loaded = {contract.topic: contract for contract in load_all(settings().project_dir / "contracts")}
    except ContractError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    if topic not in loaded:
        typer.echo(f"no contract for {topic!r}: there are {', '.join(loaded)}", err=True)
        raise typer.Exit(2)
    rejected = False
    for number, line in enumerate(rows, 1):
        reasons = loaded[topic].line_reasons(line)
        if reasons:
            rejected = True
            typer.echo(json.dumps({"line": number, "reasons": reasons}) if as_json else f"{number}: {reasons[0]}")
    if rejected:
        raise typer.Exit(1)


@app.command()
def lint(as_json: Annotated[bool, typer.Option("--json", help="Findings as one JSON array.")] = False) -> None:
    """Check contracts/, migrations/ and views/ without a node: style, what does not fit together, what does not parse.

    One finding a line, `file:line: message`, as editors read it; exit 1 where there is one.
    """
    import json
    from dataclasses import asdict

    from chctl import lint as linter
    from chctl.settings import settings

    findings = linter.lint(settings().project_dir)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            typer.echo(finding)
    if findings:
        raise typer.Exit(1)


# --- dashboards -------------------------------------------------------------------------------------------------------


dashboards = typer.Typer(help="Grafana's dashboards and the node's own page, from dashboards/.", no_args_is_help=True)
app.add_typer(dashboards, name="dashboards")


@dashboards.command("render")
def dashboards_render(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where a file is out of date.")] = False,
) -> None:
    """Write Grafana's dashboards and alert rules, and those of the node's own page, from dashboards/*.yaml.

    The files are committed: change a panel there, render, read the diff.
    """
    from chctl.dashboards.model import DashboardError, load_all
    from chctl.dashboards.render import render, stale
    from chctl.settings import settings
    from chctl.tune import write

    project = settings().project_dir
    try:
        loaded = load_all(project / "dashboards")
    except DashboardError as error:
        raise _fail(error) from None
    if not check:
        for path in write(render(loaded), project):
            typer.echo(path)
    elif old := stale(loaded, project):
        for name in old:
            typer.echo(name)
        typer.echo("out of date: run `chctl dashboards render` and commit what it writes", err=True)
        raise typer.Exit(1)


@dashboards.command("check")
def dashboards_check(
    minutes: Annotated[float, typer.Option(min=0.1, help="The range that is asked for, up to now.")] = 15,
    json_: bool = typer.Option(False, "--json", help="One JSON array on stdout."),
) -> None:
    """Ask the node for every panel of every dashboard: rows, what reading them cost, and what cannot be shown.

    Exit code 1 where a panel fails or its answer has not the shape that its kind needs. A panel without rows is none.
    """
    import json

    from clickhouse_connect.driver.exceptions import Error
    from rich.console import Console

    from chctl.clickhouse import connect
    from chctl.dashboards import check
    from chctl.dashboards.model import DashboardError, load_all
    from chctl.settings import settings

    try:
        loaded = load_all(settings().project_dir / "dashboards")
        with connect(settings()) as client:
            answers = list(check.ask(client, loaded, check.moment(int(minutes * 60))))
    except (DashboardError, Error) as error:
        raise _fail(error) from None
    if json_:
        typer.echo(json.dumps(check.to_dicts(answers)))
    else:
        Console().print(check.table(answers))
    raise typer.Exit(1 if any(answer.problem for answer in answers) else 0)


# --- migrations and views ---------------------------------------------------------------------------------------------


def _fail(error: Exception) -> typer.Exit:
    """Say what went wrong on stderr; exit code 1."""
    typer.secho(str(error), fg="red", err=True)
    return typer.Exit(1)


@app.command()
def migrate(
    wait: float = typer.Option(60.0, help="Seconds to wait for another run that holds the lock."),
    prune: bool = typer.Option(False, help="Drop objects whose file was deleted; never a table that holds rows."),
    overwrite: Annotated[
        list[str] | None, typer.Option(metavar="OBJECT", help="Let the file win over a live edit of OBJECT.")
    ] = None,
    interrupted: str = typer.Option(
        "", metavar="again|done", help="What to do with a statement that may not run twice and that a crash left open."
    ),
) -> None:
    """Bring the node to what migrations/ and views/ say.

    Runs pending migrations, then applies each file of views/ that changed. A second run changes nothing. See what it
    would do with `chctl plan`.
    """
    from chctl import migrate as m
    from chctl.settings import settings

    def log() -> None:
        from chctl import logs  # only a run with something to do has something to log

        logs.configure(settings())

    try:
        options = m.Options(wait, prune, tuple(overwrite or ()), interrupted)
        report = m.migrate(settings(), options, before_work=log)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(m.summary(report))


@app.command()
def plan(
    prune: bool = typer.Option(False, help="Include objects whose file was deleted."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Show what `chctl migrate` would do, as SQL, and what that costs; touches nothing.

    Exit code 0: nothing to do, 2: there are changes, 1: something is refused or failed.
    """
    import json

    from chctl import migrate as m
    from chctl import plan as p
    from chctl.settings import settings

    try:
        found = p.read(settings(), prune=prune)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(json.dumps(found.as_dict()) if json_ else p.show(found))
    raise typer.Exit(found.exit_code)


@app.command()
def drift(
    names: Annotated[list[str] | None, typer.Argument(metavar="[OBJECT]...", help="Only these objects.")] = None,
    json_: bool = typer.Option(False, "--json", help="One JSON array on stdout."),
) -> None:
    """Compare the live objects with what the files made of them, and show the difference.

    Exit code 0: no difference, 2: there is one, 1: failed.
    """
    import json
    from dataclasses import asdict

    from chctl import drift as d
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        found = d.drift(settings(), names or ())
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(json.dumps([asdict(one) for one in found]) if json_ else d.show(found))
    raise typer.Exit(2 if found else 0)


@app.command()
def adopt(name: str = typer.Argument(metavar="OBJECT", help="An object that `chctl drift` shows.")) -> None:
    """Write a live edit of OBJECT back into its file, and record it as applied."""
    from chctl import drift as d
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        path = d.adopt(settings(), name)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(
        f"{path}: now as the node has it; commit it" if path else f"{name} is as its file made it: nothing to adopt"
    )


@app.command()
def history(
    last: int = typer.Option(50, min=0, help="Statements to show; 0 shows all."),
    json_: bool = typer.Option(False, "--json", help="One JSON array on stdout."),
) -> None:
    """Show which statement ran when, by whom and for how long, the oldest first."""
    import json

    from chctl import history as h
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        rows = h.history(settings(), last)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(json.dumps(h.as_dicts(rows)) if json_ else h.show(rows))


@app.command()
def baseline(version: int = typer.Argument(help="Number of the last migration that the node already has.")) -> None:
    """Take over a node that exists already: record migrations up to VERSION, and the views as they are, as applied.

    Runs nothing. Views that differ from their files are shown and have to be adopted or corrected first.
    """
    from chctl import history as h
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        names = h.baseline(settings(), version)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo("\n".join(f"recorded {name}" for name in names))


@app.command()
def rollback(steps: int = typer.Option(1, min=1, help="How many migrations to undo.")) -> None:
    """Undo the last migrations by their .down.sql; refused where one has none."""
    from chctl import history as h
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        names = h.rollback(settings(), steps)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo("\n".join(f"undone {name}" for name in names) or "nothing is applied")


@app.command()
def rebuild(
    rollup: str = typer.Argument(help="Table to recompute, such as liquidity_1s."),
    start: Annotated[datetime, typer.Option("--from", help="First moment, UTC.")] = ...,  # type: ignore[assignment]
    end: Annotated[datetime, typer.Option("--to", help="Moment after the last, UTC.")] = ...,  # type: ignore[assignment]
    check: bool = typer.Option(False, "--check", help="Only compare; exit code 2 where something differs."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Recompute a window of a rollup from the raw table behind it; readers see each day of it change at once.

    A window within one day (one partition of the rollup) changes as a whole. The days of a longer one are all computed
    first and then replaced one after the other, the oldest first: for moments a reader sees new days beside old ones,
    and never a day half done. Give one day at a time where that matters.

    ```
    chctl rebuild liquidity_1s --from 2026-11-23T00:00:00 --to 2026-11-23T06:00:00 --check
    ```
    """
    import json
    from dataclasses import asdict

    from chctl import migrate as m
    from chctl import rebuild as r
    from chctl.settings import settings

    try:
        result = r.rebuild(settings(), rollup, start, end, check=check)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(json.dumps(asdict(result)) if json_ else str(result))
    raise typer.Exit(2 if check and result.different else 0)


@app.command()
def replay(
    topic: str = typer.Argument(help="Topic to read again, such as market_trades."),
    start: Annotated[datetime, typer.Option("--from", help="Message time of the first row, UTC.")] = ...,  # type: ignore[assignment]
    end: Annotated[
        datetime | None, typer.Option("--to", help="Message time after the last, UTC. [default: now]")
    ] = None,
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Read a stretch of a topic again, beside the live reader, through the same views.

    What the node has already replaces itself; what it lacks is filled in. Rules ignore events older than their
    max_age_s, so old rows raise no alert.

    ```
    chctl replay market_trades --from 2026-11-23T00:00:00 --to 2026-11-23T01:00:00
    ```
    """
    import json
    from dataclasses import asdict

    from chctl import logs
    from chctl import migrate as m
    from chctl import replay as r
    from chctl.settings import settings

    logs.configure(settings())
    try:
        result = r.replay(settings(), topic, start, end)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(json.dumps(asdict(result)) if json_ else str(result))


@app.command()
def backtest(
    file: Annotated[Path, typer.Argument(help="The rule, such as views/alerts/alert_liquidity_drop_mv.sql.")],
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "24h",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PARAMETER=VALUE",
            help="Try another threshold, as name or rule.name where a file makes several rules; repeatable.",
        ),
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="End of the window, UTC. [default: now]")] = None,
    block: Annotated[
        str | None,
        typer.Option(
            help="Event time fed to the rule at once."
            " [default: 1h; where it reads what is usual just now, a hundredth of --since; less is closer to live]"
        ),
    ] = None,
    warmup: Annotated[str, typer.Option(help="History before the window, for baselines.")] = "1h",
    png: Annotated[Path | None, typer.Option(help="Also plot into this file.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show what an edited rule would have fired over stored history, beside what the live one did.

    Copies a slice of the node's rows into an in-process engine; nothing on the node changes.

    ```
    chctl backtest views/alerts/alert_liquidity_drop_mv.sql --since 24h --set drop_share=0.7 --png drop.png
    ```
    """
    from chctl import backtest as b
    from chctl import migrate as m
    from chctl.backtest.show import plot, show
    from chctl.settings import settings

    try:
        parameters = dict(b.parameter(text) for text in set_ or ())
        result = b.backtest(
            settings(),
            file,
            b.duration(since),
            parameters,
            block=b.duration(block) if block else None,
            warmup=b.duration(warmup),
            until=until,
        )
    except m.ERRORS as error:
        raise _fail(error) from None
    if png:
        plot(result, png)
    typer.echo(result.to_json() if json_ else show(result))


new = typer.Typer(help="Start a migration, view, rule or stream from templates/.", no_args_is_help=True)
app.add_typer(new, name="new")


def _say_new(make: Callable[[], list[Path]], then: str) -> None:
    """Write new files and say what to do next."""
    from chctl.migrate import ERRORS

    try:
        paths = make()
    except ERRORS as error:
        raise _fail(error) from None
    for path in paths:
        typer.echo(path)
    typer.echo(then, err=True)


@new.command("migration")
def new_migration(name: str = typer.Argument(help="verb_object, such as create_quotes.")) -> None:
    """Write migrations/NNNN_NAME.sql with the next number."""
    from chctl import scaffold
    from chctl.settings import settings

    _say_new(lambda: scaffold.new_migration(settings().project_dir, name), "edit it, then `chctl plan`")


@new.command("view")
def new_view(
    name: str = typer.Argument(help="Name of the object; one that ends in _mv is a materialized view."),
    folder: Annotated[
        str, typer.Option(help="Folder of views/: ingest, market, orders, social, alerts, dash.")
    ] = "dash",
    source: Annotated[str, typer.Option(help="Table it reads.")] = "trades",
) -> None:
    """Write views/FOLDER/NAME.sql."""
    from chctl import scaffold
    from chctl.settings import settings

    _say_new(lambda: scaffold.new_view(settings().project_dir, name, folder, source), "edit it, then `chctl plan`")


@new.command("rule")
def new_rule(
    name: str = typer.Argument(help="What the rule notices, such as spread_wide."),
    source: Annotated[str, typer.Option(help="Table whose rows run the rule.")] = "liquidity_moments",
) -> None:
    """Write views/alerts/alert_NAME_mv.sql and a migration with its thresholds, switched off."""
    from chctl import scaffold
    from chctl.settings import settings

    then = "edit both, then `chctl migrate`, and `chctl backtest ... --set enabled=1` before you switch it on"
    _say_new(lambda: scaffold.new_rule(settings().project_dir, name, source), then)


@new.command("stream")
def new_stream(name: str = typer.Argument(help="Name of the topic.")) -> None:
    """Write contracts/NAME.yaml, from which the topic and its ingest SQL are made."""
    from chctl import scaffold
    from chctl.settings import settings

    then = "edit it, then `chctl contracts render`, `chctl topics apply` and `chctl plan`"
    _say_new(lambda: scaffold.new_stream(settings().project_dir, name), then)


@app.command()
def status(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """Show what is applied, what is pending, who is migrating now and where a run stopped."""
    from chctl import migrate as m
    from chctl.settings import settings
    from chctl.status import read, show

    try:
        state = read(settings())
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(state.to_json() if json_ else show(state))


# --- feeders ----------------------------------------------------------------------------------------------------------


@feed.command()
def beacon() -> None:
    """Take browsers' event batches over HTTP and produce them to the topic `frontend_events`.

    Set CHCTL_BEACON_HASH_KEY (openssl rand -hex 32) and CHCTL_BEACON_ORIGINS (https://trade.example) first; pages load
    /beacon.js from here. Binds to CHCTL_BEACON_HOST and CHCTL_BEACON_PORT; put TLS in front of it.
    """
    from chctl import logs
    from chctl.settings import settings
    from feeders import beacon as gateway

    logs.configure(settings(), "chctl-feed-beacon")
    try:
        gateway.run(settings())
    except (ValueError, OSError) as error:
        typer.echo(f"chctl feed beacon: {error}", err=True)
        raise typer.Exit(2) from error


@feed.command("collect")
def feed_collect(
    source: Annotated[str, typer.Option(help="rss, reddit, telegram, x or onchain.")],
    polls: Annotated[int, typer.Option(help="End after so many polls; 0 runs until stopped.")] = 0,
) -> None:
    """Collect posts from one source into social_raw: politely, and from where the last run ended.

    Credentials come from the environment or the secrets directory: CHCTL_COLLECT_RSS_URLS, CHCTL_REDDIT_CLIENT_ID and
    CHCTL_REDDIT_CLIENT_SECRET, CHCTL_TELEGRAM_BOT_TOKEN, CHCTL_X_BEARER_TOKEN, CHCTL_ONCHAIN_RPC_URL.
    """
    import asyncio

    from chctl import logs
    from chctl.settings import settings
    from feeders.collect import run_collect
    from feeders.runtime import Stop
    from feeders.sources.polling import SetupError

    s = settings()
    logs.configure(s, "chctl-feed-collect")
    try:
        asyncio.run(run_collect(s, source, stop=Stop().install(), polls=polls or None))
    except SetupError as error:
        typer.echo(f"chctl feed collect: {error}", err=True)
        raise typer.Exit(78) from None  # EX_CONFIG: no restart helps


@feed.command("social")
def feed_social(
    until_idle: Annotated[
        float, typer.Option(help="End after so many seconds without a post; 0 runs until stopped.")
    ] = 0.0,
    backfill: Annotated[
        bool,
        typer.Option("--backfill", help="Rate all that social_raw holds by the Batch API, at half the price; end."),
    ] = False,
) -> None:
    """Rate the sentiment of posts: social_raw in, social_processed out, without personal data, within a budget.

    With CHCTL_OPENAI_API_KEY (or a file openai_api_key in the secrets directory) the model of CHCTL_SOCIAL_MODEL rates
    them, up to CHCTL_SOCIAL_USD_PER_DAY; without one a local lexicon does, and the column `model` says so. Several may
    run: they share partitions, budget and answers.
    """
    import asyncio

    from chctl import logs
    from chctl.settings import settings
    from feeders.analysis.faults import MisconfiguredError
    from feeders.runtime import Stop
    from feeders.social import run_backfill, run_social

    s = settings()
    logs.configure(s, "chctl-feed-social")
    try:
        if backfill:
            asyncio.run(run_backfill(s, stop=Stop().install()))
        else:
            asyncio.run(run_social(s, stop=Stop().install(), until_idle=until_idle or None))
    except MisconfiguredError as error:
        typer.echo(f"chctl feed social: {error}", err=True)
        raise typer.Exit(78) from None  # EX_CONFIG: no restart helps


@feed.command("market")
def feed_market(
    venue: Annotated[
        str, typer.Option(help="binance, binance_usdm, binance_coinm, kraken, okx or coinbase.", show_default=False)
    ] = "",
    symbols: Annotated[str, typer.Option(help="Comma-separated, as the venue writes them: XBT/USD,ETH/USD.")] = "",
    replay: Annotated[Path | None, typer.Option(help="Feed a recorded file through the same decoder instead.")] = None,
    speed: Annotated[float, typer.Option(help="Of a replay: 1 its own pace, N times that, 0 without pause.")] = 1.0,
    raw: Annotated[
        str, typer.Option(help="`to`: put messages undecoded on market_raw; `from`: normalize that topic, in a group.")
    ] = "",
) -> None:
    """Turn a venue's raw order book updates and trades into the topics `market_l2` and `market_trades`.

    Without options it takes CHCTL_MARKET_VENUE and CHCTL_MARKET_SYMBOLS. Nothing is published of a book that missed an
    update: a `gap` row says so, and a `snapshot` row follows. SIGTERM publishes the open window and waits for the
    broker; exit code 1 means that rows were not delivered.

    ```
    chctl feed market --venue kraken --symbols XBT/USD,ETH/USD
    ```
    """
    from chctl import logs
    from chctl.settings import settings
    from feeders import market
    from feeders.runtime import PublishError

    s = settings()
    logs.configure(s, "chctl-feed-market")
    chosen = [symbol for symbol in (symbols or s.market_symbols).split(",") if symbol]
    if not (venue or s.market_venue) or not (chosen or replay or raw == "from") or raw not in ("", "to", "from"):
        typer.echo(
            "which market? give --venue and --symbols, or set CHCTL_MARKET_VENUE, CHCTL_MARKET_SYMBOLS", err=True
        )
        raise typer.Exit(2)
    try:
        report = market.main(s, venue or s.market_venue, chosen, replay, speed, raw)
    except (ValueError, OSError) as error:
        typer.echo(f"chctl feed market: {error}", err=True)
        raise typer.Exit(2) from error
    except PublishError as error:
        typer.echo(f"chctl feed market: the broker refused rows: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(1 if report.lost else 0)


# --- alerts and rules -------------------------------------------------------------------------------------------------


@feed.command("alerts")
def feed_alerts(
    webhook: Annotated[str, typer.Option(help="URL that gets every alert; default CHCTL_WEBHOOK_URL.")] = "",
    routes: Annotated[Path | None, typer.Option(help="Routing file; default CHCTL_ALERTS_ROUTES.")] = None,
) -> None:
    """Deliver alerts from the topic and the outbox to the channels, and record every attempt.

    Several may run: one delivers, the others stand by. Secrets come from files of the secrets directory or from
    CHCTL_ variables, never from options.
    """
    from chctl.settings import settings
    from feeders import alerts
    from feeders.alerting import routing
    from feeders.channels.build import single

    s = settings()
    file = routes or (None if webhook else s.alerts_routes)
    url = webhook or s.webhook_url
    if not file and not url:
        typer.echo("nowhere to deliver to: give --webhook URL or --routes FILE", err=True)
        raise typer.Exit(2)
    try:
        alerts.main(s, routing.load(file) if file else single(url))
    except ValueError as error:  # the routing file or a secret
        raise _fail(error) from None


alerts_app = typer.Typer(
    help="Look at alerts, take them on, hold them back, prove them afterwards.", no_args_is_help=True
)
rules_app = typer.Typer(
    help="Tune the rules while they run: thresholds, owners, and who changed what.", no_args_is_help=True
)
app.add_typer(alerts_app, name="alerts")
app.add_typer(rules_app, name="rules")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
By = Annotated[str, typer.Option("--by", help="Who; default the user of this shell.")]
Note = Annotated[str, typer.Option("--note", help="Why, for the record.")]
AlertId = Annotated[str, typer.Argument(help="An alert_id, or enough of its beginning.")]


@contextmanager
def _node() -> Iterator[Any]:
    """A client on the node of the settings; what goes wrong is said on stderr, exit code 1."""
    from clickhouse_connect.driver.exceptions import Error

    from chctl.clickhouse import connect
    from chctl.settings import settings

    try:
        with connect(settings()) as client:
            yield client
    except (Error, ValueError) as error:
        raise _fail(error) from None


def _me(by: str) -> str:
    import getpass

    return by or getpass.getuser()


def _done(text: str, json: bool, **row: Any) -> None:
    """Say what was done: a sentence for a person, the row that was written for a program."""
    from chctl import answers

    if json:
        answers.show([row], json=True)
    else:
        typer.echo(text)


@alerts_app.command("list")
def alerts_list(
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 100,
    json: Json = False,
) -> None:
    """Show what fires now, who took it on and what is silenced."""
    from chctl import alert_tables, alerts, answers

    with _node() as client:
        rows = alerts.listed(client, everything=everything, limit=limit)
    answers.show(rows if json else alert_tables.alerts(rows), json=json, nothing="nothing fires")


@alerts_app.command("show")
def alerts_show(alert_id: AlertId, json: Json = False) -> None:
    """Show one alert with its evidence, every attempt to tell somebody, acknowledgements and resolution."""
    from chctl import alert_tables, alerts, answers

    with _node() as client:
        row = alerts.shown(client, alert_id)
    if json:
        answers.show([row], json=True)
        return
    lists = {
        "acknowledgements": row.pop("acknowledgements"),
        "attempts": alert_tables.attempts(row.pop("attempts"), row["raised_time"]),
    }
    answers.show([{"field": name, "value": answers.text(value)} for name, value in row.items()], json=False)
    for name, rows in lists.items():
        typer.echo(f"\n{name}")
        answers.show(rows, json=False, nothing="none")


@alerts_app.command("ack")
def alerts_ack(alert_id: AlertId, note: Note = "", by: By = "", json: Json = False) -> None:
    """Take an alert on: its repeats and escalation stop, and channels that know acknowledgement are told."""
    from chctl import alerts

    with _node() as client:
        full = alerts.acknowledge(client, alert_id, _me(by), note)
    _done(f"{full} taken on by {_me(by)}", json, alert_id=full, acked_by=_me(by), note=note)


@alerts_app.command("resolve")
def alerts_resolve(
    alert_id: AlertId,
    why: Annotated[str, typer.Option(help="For the record and the channels.")],
    by: By = "",
    json: Json = False,
) -> None:
    """Resolve an alert by hand; whoever was told that it fires is told that it ended."""
    from chctl import alerts

    with _node() as client:
        full = alerts.resolve(client, alert_id, _me(by), why)
    _done(f"{full} resolved by {_me(by)}", json, alert_id=full, resolved_by=_me(by), why=why)


@alerts_app.command("silence")
def alerts_silence(
    matchers: Annotated[list[str] | None, typer.Argument(help="field=glob; all must fit. symbol=BTC* rule=x")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long: 90s, 15m, 4h, 2d.")] = "",
    why: Annotated[str, typer.Option(help="The reason.")] = "",
    starts: Annotated[str, typer.Option("--in", help="Begin only after this time: 30m.")] = "",
    maintenance: Annotated[bool, typer.Option(help="A maintenance window; may be without matchers.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show those in force and to come.")] = False,
    lift: Annotated[str, typer.Option(help="End the silence of this name now.")] = "",
    by: By = "",
    json: Json = False,
) -> None:
    """Hold pages back for a while. Alerts are raised and kept all the same; what still fires then is told then."""
    from chctl import alert_tables, alerts, answers

    with _node() as client:
        if lift:
            alerts.lift(client, lift, _me(by))
        elif not show:
            silence_id = alerts.silence(
                client,
                matchers or [],
                lasts=lasts or "0s",
                why=why,
                who=_me(by),
                maintenance=maintenance,
                starts=starts,
            )
            typer.echo(f"silence {silence_id}; end it with `chctl alerts silence --lift {silence_id}`", err=True)
        rows = alerts.silences(client)
    answers.show(rows if json else alert_tables.silences(rows), json=json, nothing="nothing is silenced")


@alerts_app.command("route")
def alerts_route(
    fields: Annotated[
        list[str] | None, typer.Argument(help="field=value of an alert, e.g. rule=liquidity_drop")
    ] = None,
    routes: Annotated[Path | None, typer.Option(help="Routing file; default CHCTL_ALERTS_ROUTES.")] = None,
    test: Annotated[bool, typer.Option("--test", help="What this command does; nothing is sent.")] = True,  # noqa: ARG001
    json: Json = False,
) -> None:
    """Show where an alert with these fields would go, when, and which route says so. Nothing is sent.

    The file is checked first: every fault is named with its place, exit code 1.
    """
    from chctl import alerts, answers
    from chctl.settings import settings
    from feeders.alerting import routing

    file = routes or settings().alerts_routes
    if not file:
        typer.echo("which routing file? Give --routes FILE or set CHCTL_ALERTS_ROUTES", err=True)
        raise typer.Exit(2)
    try:
        rows = alerts.route(routing.load(file), fields or [])
    except ValueError as error:
        raise _fail(error) from None
    answers.show(rows, json=json, nothing="nowhere")


@alerts_app.command("test")
def alerts_test(
    channel: Annotated[str, typer.Argument(help="A channel of the routing file.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the record.")] = 30.0,
    by: By = "",
    json: Json = False,
) -> None:
    """Send a test alert the whole way (outbox, feeder, channel) and show its record; exit code 1 if it got lost."""
    from chctl import alerts, answers

    with _node() as client:
        rows = alerts.test_channel(client, channel, _me(by), timeout=timeout)
    answers.show(rows, json=json)
    if not any(row["outcome"] == "delivered" for row in rows):
        raise typer.Exit(1)


@alerts_app.command("stats")
def alerts_stats(
    since: Annotated[str, typer.Option(help="Over how long: 90m, 24h, 7d.")] = "24h", json: Json = False
) -> None:
    """Count alerts per rule and outcomes per channel, with the time from the outbox to acceptance."""
    from chctl import alerts, answers

    with _node() as client:
        found = alerts.stats(client, since)
    if json:
        answers.show([found], json=True)
        return
    answers.show(found["rules"], json=False, nothing=f"no alert within {since}")
    typer.echo()
    answers.show(found["channels"], json=False, nothing="no delivery")
    typer.echo(f"\nopen {found['open']}, unacknowledged {found['unacknowledged']}, silences {found['silences']}")
    feeder = found["feeder"]
    typer.echo(f"feeder {feeder['owner']}, {feeder['beat_age_s']:.1f} s ago" if feeder else "no feeder ever ran")


@rules_app.command("list")
def rules_list(
    rule: Annotated[str, typer.Argument(help="Only this rule.")] = "",
    owners: Annotated[bool, typer.Option("--owners", help="Owners, severity and runbooks instead.")] = False,
    json: Json = False,
) -> None:
    """Show the thresholds in force: per rule and parameter, for all (*) or for one entity."""
    from chctl import alert_tables, answers, rules

    with _node() as client:
        rows = rules.owners(client) if owners else rules.listed(client, rule)
    cells = alert_tables.owners(rows) if owners else alert_tables.thresholds(rows, rule)
    answers.show(rows if json else cells, json=json)


@rules_app.command("set")
def rules_set(
    rule: Annotated[str, typer.Argument(help="Name of the file in views/alerts.")],
    parameter: Annotated[str, typer.Argument(help="As `chctl rules list` shows.")],
    value: Annotated[float, typer.Argument(help="In the parameter's unit.")],
    note: Note,
    scope: Annotated[str, typer.Option(help="One entity, e.g. binance:BTCUSDT, instead of all.")] = "*",
    by: By = "",
    json: Json = False,
) -> None:
    """Change a threshold; the rule reads it within two seconds, no DDL."""
    from chctl import rules

    with _node() as client:
        row = rules.change(client, rule, parameter, value, scope=scope, by=_me(by), note=note)
    _done(f"{rule} {parameter} = {value:g} for {scope}", json, **row)


@rules_app.command("reset")
def rules_reset(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    parameter: Annotated[str, typer.Argument(help="Only this one; default all of the scope.")] = "",
    scope: Annotated[str, typer.Option(help="As it was set.")] = "*",
    note: Note = "",
    by: By = "",
    json: Json = False,
) -> None:
    """Undo changes: an entity's own value goes away, the value for all returns to the one it was shipped with."""
    from chctl import answers, rules

    with _node() as client:
        rows = rules.reset(client, rule, parameter, scope=scope, by=_me(by), note=note)
    answers.show(rows, json=json, columns=["rule", "scope", "parameter", "was", "value"], nothing="nothing to undo")


@rules_app.command("history")
def rules_history(rule: Annotated[str, typer.Argument(help="Only this rule.")] = "", json: Json = False) -> None:
    """Show every change of a threshold: when, who, why."""
    from chctl import alert_tables, answers, rules

    with _node() as client:
        rows = rules.history(client, rule)
    answers.show(rows if json else alert_tables.changes(rows, rule), json=json)


@rules_app.command("own")
def rules_own(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    owner: Annotated[str | None, typer.Option(help="Team or person.")] = None,
    severity: Annotated[str | None, typer.Option(help="info, warning or critical in place of the rule's own.")] = None,
    runbook: Annotated[str | None, typer.Option(help="One line or a link: what to do first.")] = None,
    dashboard: Annotated[str | None, typer.Option(help="Path or URL; pages link to it.")] = None,
    by: By = "",
    json: Json = False,
) -> None:
    """Say who owns a rule, how loud it is and what to do when it fires; every page carries it."""
    from chctl import rules

    with _node() as client:
        row = rules.own(client, rule, _me(by), owner=owner, severity=severity, runbook=runbook, dashboard=dashboard)
    _done(f"{rule} is {row['owner'] or 'nobody'}'s", json, **row)


# --- operations -------------------------------------------------------------------------------------------------------


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="Equal seeds give equal markets.")] = 1,
    minutes: Annotated[float, typer.Option(min=8, max=1440, help="How long the market runs.")] = 10,
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as it happens; 0 sends everything at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the labels as JSON lines.")] = False,
) -> None:
    """Produce a simulated venue to user_actions, market_trades and market_l2: 210 ordinary accounts, and offenders.

    Prints who does what and when (seconds after the start), so that alerts can be compared with the truth. Events of a
    run at --speed 1 happen now; with 0 they are dated so that the last has just happened. Rules raise nothing about
    events older than their max_age_s.
    """
    import json
    from dataclasses import asdict

    from chctl.settings import settings
    from chctl.simulate.produce import produce
    from chctl.simulate.venue import simulate as run_venue

    market = run_venue(seed, minutes)
    for label in sorted(market.labels, key=lambda label: label.begins_s):
        text = json.dumps(asdict(label)) if as_json else f"{label.begins_s:7.1f} s  {label.kind:20} {label.strength:9} "
        typer.echo(text if as_json else text + label.entity)
    sent = produce(settings(), market, speed)
    typer.echo(f"{len(market.actions['time'])} actions in {sent} messages", err=True)


@app.command()
def doctor(
    everything: Annotated[bool, typer.Option("--all", help="Show each thing that is well, too.")] = False,
    prometheus: Annotated[
        bool, typer.Option(help="Prometheus' text format, for node_exporter's textfile folder.")
    ] = False,
    every: Annotated[float, typer.Option(help="Go on, looking every so many seconds; 0: once.")] = 0,
    json: Json = False,
) -> None:
    """Look at node, clock, schema, broker, topics, consumers and disk; say what is not well, and what to do about it.

    Exit code 0: all well, 2: something should be looked at, 1: something fails. The node's own share of it is the view
    dash_health. With --every it stays, logs what changes, and serves metrics on CHCTL_METRICS_PORT (and by OTLP):

    ```
    CHCTL_METRICS_PORT=9464 chctl doctor --every 30
    ```
    """
    from chctl import answers, logs
    from chctl import doctor as d
    from chctl.settings import settings

    if every:
        logs.configure(settings(), "chctl-doctor")
        d.watch(settings(), every)
        return
    checks = d.examine(settings())
    if json:
        answers.show(d.as_dicts(checks), json=True)
    elif prometheus:
        typer.echo(d.prometheus(checks), nl=False)
    else:
        colours = {"FAIL": "red", "WARN": "yellow"}
        for line in d.lines(checks, everything=everything):
            typer.secho(line, fg=colours.get(line[:4]))
    raise typer.Exit(d.exit_code(checks))


@app.command()
def sizing(
    l2_per_sec: Annotated[float, typer.Option(min=0, help="Rows of market_l2: at most 10 a second and book.")] = 200,
    trades_per_sec: Annotated[float, typer.Option(min=0, help="Rows of market_trades, the mean of a day.")] = 300,
    orders_per_sec: Annotated[float, typer.Option(min=0, help="Rows of user_actions, the mean of a day.")] = 500,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long rows are kept.")] = 30,
    json: Json = False,
) -> None:
    """Say how large a machine has to be for these streams, beside the specification's one node.

    From what a row was measured to cost (deploy/sizing.yaml; measure on your own machine with
    `python bench/sizing.py --write`). Rates are means; the machine is sized for three times as much.
    """
    from chctl import answers
    from chctl import sizing as z
    from chctl.contracts import ContractError
    from chctl.settings import settings

    rates = {"market_l2": l2_per_sec, "market_trades": trades_per_sec, "user_actions": orders_per_sec}
    try:
        found = z.answer(settings().project_dir, rates, days)
    except (z.SizingError, ContractError) as error:
        raise _fail(error) from None
    if json:
        answers.show([found.as_dict()], json=True)
        return
    answers.show(z.streams(found), json=False)
    typer.echo("")
    answers.show(z.beside(found), json=False)
    for line in z.advice(found):
        typer.echo(line)


@app.command()
def cluster(
    out: Annotated[Path, typer.Option(help="A new folder for the copy of the project.")],
    name: Annotated[str, typer.Option(help="Name in remote_servers. [default: CHCTL_CLICKHOUSE_CLUSTER]")] = "",
) -> None:
    """Write the project for more than one node: replicated engines, ON CLUSTER, dashboards that read every shard.

    The SQL is the same; every command works from the copy, so look at it before anything runs:

    ```
    chctl cluster --name prod --out /opt/chctl/prod
    CHCTL_PROJECT_DIR=/opt/chctl/prod chctl plan
    ```
    """
    from chctl import cluster as c
    from chctl import migrate as m
    from chctl.project import Project
    from chctl.settings import settings

    try:
        written = c.write(Project.read(settings().project_dir), name or settings().clickhouse_cluster, out)
    except (c.ClusterError, OSError, *m.ERRORS) as error:
        raise _fail(error) from None
    typer.echo(f"{len(written)} files in {out}: CHCTL_PROJECT_DIR={out} chctl plan")


@app.command()
def load(
    profile: Annotated[str, typer.Option(help="calm, busy or crash.")] = "calm",
    lasts: Annotated[str, typer.Option("--for", help="How long: 90s, 10m.")] = "10m",
    json: Json = False,
) -> None:
    """Drive every topic with realistic traffic and report rates, lag, latency, memory and disk beside the run before.

    Not on a node that people rely on: the rows go into its tables (venues load...) and may raise alerts. Exit code 1
    where something produced is not stored two minutes after the end.

    ```
    chctl load --profile crash --for 10m
    ```
    """
    from chctl import answers
    from chctl import load as b
    from chctl.settings import settings
    from feeders.alerting.routing import seconds

    length = seconds(lasts)
    if profile not in b.PROFILES or not isinstance(length, float) or length <= 0:
        typer.echo(f"--profile is one of {', '.join(b.PROFILES)}; --for is a length of time such as 10m", err=True)
        raise typer.Exit(2)
    folder = settings().data_dir / "load"
    before = b.previous(folder, profile)
    try:
        result = b.run(settings(), profile, length, lambda line: typer.echo(line, err=True))
    except b.ERRORS as error:
        raise _fail(error) from None
    b.keep(folder, result)
    if json:
        answers.show([{**vars(result), "complete": result.complete}], json=True)
    else:
        answers.show(b.table(result, before), json=False)
    raise typer.Exit(0 if result.complete else 1)


@app.command()
def init(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path(".env"),
    host: Annotated[list[str] | None, typer.Option(help="Another name or address of this server.")] = None,
) -> None:
    """Make every password, key and certificate of docker-compose.yml and write them to .env, readable by you alone.

    Nothing is ever overwritten: with a file there, it says so and ends with exit code 1.
    """
    from chctl import init as i

    try:
        i.write(out, ("clickhouse", "localhost", "127.0.0.1", *(host or ())))
    except i.InitError as error:
        raise _fail(error) from None
    typer.echo(f"{out} written (0600): set CHCTL_WEBHOOK_URL in it, then docker compose up -d --wait", err=True)


access = typer.Typer(help="Users, roles, quotas and row policies of a ClickHouse server.", no_args_is_help=True)
app.add_typer(access, name="access")


@access.command("apply")
def access_apply(
    file: Annotated[Path | None, typer.Option(help="Statements. [default: deploy/clickhouse/access.sql]")] = None,
) -> None:
    """Make users, roles and limits what deploy/clickhouse/access.sql says; safe to repeat.

    Log in as an administrator (CHCTL_CLICKHOUSE_USER). Passwords are files of CHCTL_SECRETS_DIR, named as the user; a
    user without one is left out. The embedded node keeps no users: there everything is skipped, with a notice.
    """
    from chctl import access as a
    from chctl.clickhouse import connect
    from chctl.settings import settings

    s = settings()
    try:
        plan = a.read(file or s.project_dir / "deploy" / "clickhouse" / "access.sql", a.secrets_folder())
        with connect(s, database="") as client:
            report = a.apply(client, plan)
    except a.ERRORS as error:
        raise _fail(error) from None
    for notice in report.notices:
        typer.echo(notice, err=True)
    typer.echo(f"{report.applied} statements applied, {report.skipped} skipped")


@app.command()
def units(
    out: Annotated[Path | None, typer.Option(help="Folder to write to. [default: deploy/systemd]")] = None,
    prefix: Annotated[Path, typer.Option(help="Virtual environment that holds bin/chctl.")] = Path("/opt/chctl/.venv"),
) -> None:
    """Write the systemd units: the node, and one a feeder; chctl-market@kraken.service feeds one venue.

    ```
    chctl units --out /etc/systemd/system && systemctl daemon-reload
    systemctl enable --now chctl-market@kraken
    ```

    Settings stand in /etc/chctl/chctl.env and /etc/chctl/market-kraken.env, secrets in files of
    `/etc/chctl/secrets/<kind>`, named as the setting without CHCTL_ and in lower case: kafka_sasl_password.
    """
    from chctl import tune as t
    from chctl import units as u
    from chctl.settings import settings

    project = settings().project_dir
    try:
        changed = t.write(u.render(project, prefix), out or project / "deploy" / "systemd")
    except OSError as error:
        raise _fail(error) from None
    for path in changed:
        typer.echo(path)


@app.command()
def tune(
    cores: Annotated[int, typer.Option(help="Cores of the server.")] = 16,
    ram: Annotated[int, typer.Option(help="Memory in GiB.")] = 64,
    disk: Annotated[int, typer.Option(help="Disk of /var/lib/clickhouse in GB.")] = 2000,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. [default: deploy/clickhouse]")] = None,
) -> None:
    """Write the settings of a ClickHouse server (config.d, users.d, optional) for a machine of this size.

    Every line says why it stands there. The Kafka consumers are counted from contracts/.

    ```
    chctl tune --cores 8 --ram 32 --disk 1000 --out /etc/clickhouse-server
    ```
    """
    from chctl import tune as t
    from chctl.contracts import ContractError, load_all
    from chctl.settings import settings

    project = settings().project_dir
    try:
        machine = t.Machine(cores, ram, disk, t.consumers(list(load_all(project / "contracts"))))
        changed = t.write(t.render(machine, project), out or project / "deploy" / "clickhouse")
    except (t.TuneError, ContractError, OSError) as error:
        raise _fail(error) from None
    for path in changed:
        typer.echo(path)


if __name__ == "__main__":
    app()
