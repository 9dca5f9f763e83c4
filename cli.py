"""The `chctl` command: one function a command, no logic; what a command does stands in chctl/ and feeders/.

Imports of heavy parts stand inside the functions, so that `chctl --help` stays instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Watch a crypto venue from one ClickHouse node: Kafka in, versioned SQL, metrics and alerts out.",
    no_args_is_help=True,
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
    broker_port: Annotated[int, typer.Option(help="Port of the embedded broker; 0 takes a free one.")] = 9092,
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

        chctl node &
        curl 'http://127.0.0.1:8123/?query=SELECT+version()'

    The broker keeps messages in memory: it outlives a crash of the node, and a stop of the node while messages are
    unread; the next start on the same folder goes on with it.
    """
    from chctl import logs
    from chctl.node import broker, run
    from chctl.node.engine import FolderLocked
    from chctl.settings import settings

    logs.configure(settings())
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
    except ContractError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    changed = stale(loaded, project) if check else write(loaded, project)
    for path in changed:
        typer.echo(path)
    if check and changed:
        typer.echo("out of date: run `chctl contracts render` and commit what it writes", err=True)
        raise typer.Exit(1)


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

    try:
        report = m.migrate(settings(), m.Options(wait, prune, tuple(overwrite or ()), interrupted))
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

    logs.configure(settings())
    try:
        gateway.run(settings())
    except (ValueError, OSError) as error:
        typer.echo(f"chctl feed beacon: {error}", err=True)
        raise typer.Exit(2) from error


# --- alerts and rules -------------------------------------------------------------------------------------------------


@feed.command("alerts")
def feed_alerts(
    webhook: Annotated[str, typer.Option(help="URL that gets every alert; default CHCTL_WEBHOOK_URL.")] = "",
) -> None:
    """Deliver alerts from the topic and the outbox to the channels, and record every attempt.

    Several may run: one delivers, the others stand by. Secrets come from CHCTL_WEBHOOK_SECRET or the secrets directory.
    """
    from chctl.settings import settings
    from feeders import alerts

    s = settings()
    url = webhook or s.webhook_url
    if not url:
        typer.echo("nowhere to deliver to: give --webhook URL or set CHCTL_WEBHOOK_URL", err=True)
        raise typer.Exit(2)
    alerts.main(s, url)


# --- operations -------------------------------------------------------------------------------------------------------


if __name__ == "__main__":
    app()
