"""The `chctl` command: one function a command, no logic; what a command does stands in chctl/ and feeders/.

Imports of heavy parts stand inside the functions, so that `chctl --help` stays instant.
"""

from __future__ import annotations

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


# --- feeders ----------------------------------------------------------------------------------------------------------


# --- alerts and rules -------------------------------------------------------------------------------------------------


# --- operations -------------------------------------------------------------------------------------------------------


if __name__ == "__main__":
    app()
