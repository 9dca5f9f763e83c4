"""The `chctl` command: one function a command, no logic; what a command does stands in chctl/ and feeders/.

Imports of heavy parts stand inside the functions, so that `chctl --help` stays instant.
"""

from __future__ import annotations

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


# --- topics and contracts ---------------------------------------------------------------------------------------------


# --- migrations and views ---------------------------------------------------------------------------------------------


def _fail(error: Exception) -> typer.Exit:
    """Say what went wrong on stderr; exit code 1."""
    typer.secho(str(error), fg="red", err=True)
    return typer.Exit(1)


@app.command()
def migrate(
    wait: float = typer.Option(60.0, help="Seconds to wait for another run that holds the lock."),
) -> None:
    """Bring the node to what migrations/ and views/ say.

    Runs pending migrations, then applies each file of views/ that changed. A second run changes nothing. See what it
    would do with `chctl plan`.
    """
    from chctl import migrate as m
    from chctl.settings import settings

    try:
        report = m.migrate(settings(), wait_s=wait)
    except m.ERRORS as error:
        raise _fail(error) from None
    typer.echo(m.summary(report))


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
