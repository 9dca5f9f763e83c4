"""The embedded node: ClickHouse in this process (chDB), a broker beside it, ClickHouse's HTTP interface in front.

`config` renders the engine's configuration, `broker` runs Tansu, `engine` opens chDB, `sql` cuts an HTTP body into
statement and data, `errors` and `body` speak ClickHouse's errors and encodings, `http` is the interface, `run` ties
them together and is what `chctl node` and the tests start.
"""
