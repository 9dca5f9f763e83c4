"""The embedded node: ClickHouse in this process (chDB), a broker beside it, ClickHouse's HTTP interface in front."""
